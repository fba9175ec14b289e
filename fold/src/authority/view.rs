//! What a view answers to acceptance.

use core::cmp::Reverse;
use std::collections::BTreeMap;

use oplog::authority::{Rank, Restriction, View};
use oplog::payload::{ChannelKind, InviteCreate, ScopeCut, Verb, Weight};
use oplog::{ChannelId, DeviceId, Digest, EpochId, Features, Hlc, OpId, UserId};

use super::act::{Act, Deed};
use super::records::{closer, is_muting};
use super::state::{AuthorityView, Register};

impl View for AuthorityView {
    fn weight(&self, user: &UserId) -> Option<Weight> {
        let (state, _) = self.membership(user)?;
        state.role.winner()?.level(user).map(Weight::new)
    }

    fn rank(&self, user: &UserId) -> Option<Rank> {
        let (state, _) = self.membership(user)?;
        let grant = state.role.winner()?;
        Some(Rank {
            weight: grant.level(user)?,
            seniority: Reverse((grant.depth, grant.id, *user)),
            sub: 0,
        })
    }

    fn device_user(&self, device: &DeviceId) -> Option<UserId> {
        self.devices.get(device)?.live_user()
    }

    fn is_device_revoked(&self, device: &DeviceId) -> bool {
        let state = self.devices.get(device);
        state.is_some_and(|state| state.is_dead())
    }

    fn device_count(&self, user: &UserId) -> usize {
        self.users.get(user).map_or(0, |s| s.devices.len())
    }

    fn has_channel(&self, channel: &ChannelId) -> bool {
        self.channels.contains_key(channel)
    }

    fn is_archived(&self, channel: &ChannelId) -> bool {
        let state = self.channels.get(channel);
        let winner = state.and_then(|c| c.archived.winner());
        winner
            .and_then(|a| a.channel_update())
            .and_then(|u| u.archived)
            .unwrap_or(false)
    }

    fn least(&self, verb: Verb, channel: Option<&ChannelId>) -> Weight {
        let Some(state) = channel.and_then(|id| self.channels.get(id)) else {
            return default_least(verb);
        };
        let set = state.permissions.get(&verb).and_then(Register::winner);
        if let Some(least) = set.and_then(|act| act.permission(verb)) {
            return least;
        }
        let announces = state
            .create
            .channel_create()
            .is_some_and(|c| c.kind == ChannelKind::Announcement);
        if announces && matches!(verb, Verb::Post | Verb::Thread) {
            return Weight::MODERATOR;
        }
        default_least(verb)
    }

    fn mute(&self, user: &UserId, channel: Option<&ChannelId>, at: Hlc) -> Option<Restriction> {
        let places = [None, channel.copied()];
        let places = if channel.is_some() {
            &places[..]
        } else {
            places.split_at(1).0
        };
        places
            .iter()
            .filter_map(|place| self.mutes.get(&(*user, *place)))
            .filter(|state| is_muting(&state.register))
            .flat_map(|state| &state.standing)
            .filter(|act| act.muted_until().is_some_and(|end| at < end))
            .max_by_key(|act| act.order())
            .map(|act| restriction(act, act.rank))
    }

    fn mute_at_key(&self, user: &UserId, channel: Option<&ChannelId>) -> Option<Restriction> {
        let state = self.mutes.get(&(*user, channel.copied()))?;
        if !is_muting(&state.register) {
            return None;
        }
        let rank = state.standing.iter().map(|act| act.rank).max()?;
        let longest = state
            .standing
            .iter()
            .max_by_key(|act| (act.muted_until(), act.order()))?;
        Some(restriction(longest, rank))
    }

    /// `None` for members: then a concurrent admission of higher rank overrode the ban.
    fn ban(&self, user: &UserId) -> Option<Restriction> {
        let state = self.users.get(user)?;
        if state.membership(user).is_some() {
            return None;
        }
        let act = state.bans.iter().max_by_key(|act| act.order())?;
        Some(restriction(act, act.rank))
    }

    fn demotion(&self, user: &UserId) -> Option<Restriction> {
        let state = self.users.get(user)?;
        let rank = state.demotions.iter().map(|act| act.rank).max()?;
        let last = state.demotions.iter().max_by_key(|a| (a.depth, a.id))?;
        Some(restriction(last, rank))
    }

    fn invite(&self, invite: &OpId) -> Option<(InviteCreate, Rank)> {
        let state = self.invites.get(invite)?;
        let terms = state.create.invite_terms()?.clone();
        closer(state)
            .is_none()
            .then_some((terms, state.create.rank))
    }

    fn invite_uses(&self, invite: &OpId) -> u32 {
        self.invites.get(invite).map_or(0, |state| state.uses)
    }

    fn features(&self) -> Features {
        self.policy.features
    }

    fn authorised_devices(&self) -> BTreeMap<DeviceId, UserId> {
        self.users
            .iter()
            .filter(|(user, state)| state.membership(user).is_some())
            .flat_map(|(user, state)| state.devices.iter().map(|device| (*device, *user)))
            .collect()
    }

    fn admins(&self) -> Vec<UserId> {
        let users = self.users.keys().filter(|user| {
            self.weight(user)
                .is_some_and(|w| w >= Weight::ADMIN && w < Weight::OWNER)
        });
        users.copied().collect()
    }

    fn owner_removable(&self) -> bool {
        let genesis = self.policy.genesis.as_deref();
        genesis.is_some_and(
            |act| matches!(act.deed, Deed::Genesis { owner_removable, .. } if owner_removable),
        )
    }

    fn sealed_epoch(&self) -> Option<EpochId> {
        self.seal().map(|(epoch, _)| *epoch)
    }

    fn is_closed(&self, removal: &OpId) -> bool {
        self.seals.closed.contains_key(removal)
    }

    fn removal_cut(&self, removal: &OpId) -> Option<Vec<ScopeCut>> {
        let of_people = self.users.values();
        let of_people = of_people.flat_map(|state| state.removals.values());
        let of_devices = self.devices.values().flat_map(|state| state.ended_by());
        let mut all = of_people.chain(of_devices);
        let act = all.find(|act| act.id == *removal)?;
        self.removal_record(act).map(|record| record.cut)
    }

    fn key_packages(&self, device: &DeviceId) -> Vec<(Digest, OpId)> {
        let offered = self.key_packages.get(device).into_iter().flatten();
        offered.map(|(op, package)| (*package, *op)).collect()
    }
}

/// The least weight for a verb where nothing is set (B4).
const fn default_least(verb: Verb) -> Weight {
    match verb {
        Verb::Upkeep => Weight::new(1),
        Verb::Post | Verb::React | Verb::Thread | Verb::Own => Weight::MEMBER,
        Verb::Pin | Verb::Tombstone | Verb::Mute | Verb::Kick | Verb::Invite => Weight::MODERATOR,
        Verb::Ban | Verb::Channels | Verb::Roles | Verb::Policy => Weight::ADMIN,
    }
}

fn restriction(act: &Act, rank: Rank) -> Restriction {
    let expires = if let Deed::Mute(mute) = &act.deed {
        mute.expires
    } else {
        None
    };
    Restriction {
        op: act.id,
        rank,
        expires,
    }
}
