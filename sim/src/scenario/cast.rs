//! What scripts are written with, and what their ends ask.
//!
//! By convention 0 founds the Space and is its owner, 1 is an admin, 2 a moderator, where there
//! are that many; everybody is in after `Script::start`.

use std::collections::BTreeSet;

use node::Weight;
use node::view::{MemberView, PostState, PostView};
use oplog::UserId;

use super::End;
use crate::check::FORKED;
use crate::config::{Config, Line, Profile};
use crate::device::SimNode;
use crate::fault::Class;
use crate::queue::Millis;
use crate::schedule::{Act, Entry, Fault, Way, What};
use crate::world::World;

/// A script in the making. Times are in seconds since the world began.
pub(super) struct Script {
    pub(super) config: Config,
    pub(super) entries: Vec<Entry>,
}

impl Script {
    /// People who come in one after the other; roles are given; then nothing happens until
    /// [`Script::start`]. Lasts so many minutes after that.
    pub(super) fn new(seed: u64, people: u16, relays: u16, minutes: u64) -> Self {
        let mut script = Self::empty(seed, people, relays, minutes);
        script.act(1, 0, Act::Found);
        // As many as there are: whoever goes cannot come back by it.
        let uses = u32::from(people) - 1;
        let approval = false;
        script.act(3, 0, Act::Invite { uses, approval });
        for who in 1..people {
            script.act(6 + u64::from(who) * 6, who, Act::Join);
        }
        let roles = script.start() - 30;
        if people > 2 {
            script.act(roles, 0, Act::Role { whom: 1, weight: 3 });
        }
        if people > 3 {
            script.act(roles + 5, 0, Act::Role { whom: 2, weight: 2 });
        }
        script
    }

    /// A world in which nobody does anything.
    pub(super) fn empty(seed: u64, people: u16, relays: u16, minutes: u64) -> Self {
        let mut config = Config::draw(seed, Some(Profile::Calm));
        config.nodes = people;
        config.relays = relays;
        config.line = Line::good();
        let mut script = Self {
            config,
            entries: Vec::new(),
        };
        script.config.lasts_ms = (script.start() + minutes * 60) * 1_000;
        script.config.calm_ms = script.start() * 1_000;
        script
    }

    /// When everybody is in, in seconds.
    pub(super) fn start(&self) -> u64 {
        90 + u64::from(self.config.nodes) * 8
    }

    pub(super) fn act(&mut self, at: u64, who: u16, act: Act) {
        let what = What::Act { who, act };
        self.add(at * 1_000, what);
    }

    /// Somebody posts in the channel for all: the one before is for announcements.
    pub(super) fn post(&mut self, at: u64, who: u16) {
        let (channel, len) = (1, 40);
        self.act(at, who, Act::Post { channel, len });
    }

    /// A link with room for more.
    pub(super) fn invite(&mut self, at: u64) {
        let (uses, approval) = (50, false);
        self.act(at, 0, Act::Invite { uses, approval });
    }

    /// Something goes wrong.
    pub(super) fn fault(&mut self, at: u64, fault: Fault) {
        self.add(at * 1_000, What::Fault(fault));
    }

    /// These people reach none of these relays from then to then.
    pub(super) fn cut(&mut self, from: u64, to: u64, nodes: &[u16], relays: &[u16]) {
        let fault = Fault::Cut {
            class: Class::PartitionOne,
            nodes: nodes.iter().copied().collect(),
            relays: relays.iter().copied().collect(),
            way: Way::Both,
            for_ms: (to - from) * 1_000,
        };
        self.fault(from, fault);
    }

    /// An app is frozen from then to then.
    pub(super) fn sleep(&mut self, from: u64, to: u64, node: u16) {
        let fault = Fault::Suspend {
            class: Class::Suspend,
            node,
            for_ms: (to - from) * 1_000,
        };
        self.fault(from, fault);
    }

    pub(super) fn add(&mut self, at: Millis, what: What) {
        self.entries.push(Entry { at, what });
    }

    pub(super) fn done(self) -> (Config, Vec<Entry>) {
        (self.config, self.entries)
    }
}

/// What ends ask of a world.
impl World {
    pub(super) fn node_of(&self, index: u16) -> Result<&SimNode, String> {
        let node = self.devices[usize::from(index)].node.as_ref();
        node.ok_or(format!("node {index} is off"))
    }

    pub(super) fn user_of(&self, index: u16) -> Result<UserId, String> {
        Ok(self.node_of(index)?.me().user)
    }

    /// Asks each of these devices; what one says comes with its number.
    pub(super) fn each(
        &self,
        devices: impl IntoIterator<Item = u16>,
        ask: impl Fn(&SimNode) -> End,
    ) -> End {
        for index in devices {
            ask(self.node_of(index)?).map_err(|what| format!("node {index}: {what}"))?;
        }
        Ok(())
    }

    /// Everybody but these.
    pub(super) fn all_but(&self, without: &[u16]) -> Vec<u16> {
        let all = 0..self.config.nodes;
        all.filter(|index| !without.contains(index)).collect()
    }

    /// Demands that these devices count exactly these people among the members.
    pub(super) fn members_are(&self, devices: &[u16], people: &[u16]) -> End {
        let expected: Result<BTreeSet<UserId>, String> =
            people.iter().map(|index| self.user_of(*index)).collect();
        let expected = expected?;
        self.each(devices.iter().copied(), |node| {
            let members: BTreeSet<UserId> = self
                .members_of(node)
                .into_iter()
                .filter(|m| m.weight.is_some())
                .map(|m| m.user)
                .collect();
            if members == expected {
                return Ok(());
            }
            let (are, must) = (members.len(), expected.len());
            Err(format!(
                "counts {are} members, not the {must} that it should"
            ))
        })
    }

    pub(super) fn members_of(&self, node: &SimNode) -> Vec<MemberView> {
        let space = self.space;
        space.map_or_else(Vec::new, |space| node.members(space).unwrap_or_default())
    }

    /// Posts of somebody as a device sees them, refused ones too, oldest first.
    pub(super) fn posts_by(&self, node: &SimNode, who: u16) -> Result<Vec<PostView>, String> {
        let space = self.space.ok_or("there is no Space")?;
        let dump = node.dump(space).map_err(|e| e.to_string())?;
        let author = self.user_of(who)?;
        let mut posts = dump.end.posts;
        posts.retain(|post| post.author == author);
        posts.sort_by_key(|post| (post.hlc, post.id));
        Ok(posts)
    }

    /// Demands of the last post of somebody that all these devices show it like this.
    pub(super) fn last_post_is(
        &self,
        devices: &[u16],
        who: u16,
        fits: impl Fn(&PostState) -> bool,
    ) -> End {
        self.each(devices.iter().copied(), |node| {
            let posts = self.posts_by(node, who)?;
            let last = posts.last().ok_or("it does not have the post")?;
            if fits(&last.state) {
                return Ok(());
            }
            Err(format!("the post is {:?}", last.state))
        })
    }

    /// Demands that somebody has this rank with these devices.
    pub(super) fn weight_is(&self, devices: &[u16], who: u16, weight: Weight) -> End {
        let user = self.user_of(who)?;
        self.each(devices.iter().copied(), |node| {
            let members = self.members_of(node);
            let member = members.iter().find(|m| m.user == user);
            match member.and_then(|m| m.weight) {
                Some(is) if is == weight => Ok(()),
                is => Err(format!("node {who} has the rank {is:?}, not {weight:?}")),
            }
        })
    }

    /// Demands that something went wrong as the script wants it.
    pub(super) fn fired_at_least(&self, class: Class, times: u64) -> End {
        match self.fired.0.get(&class).copied().unwrap_or(0) {
            fired if fired >= times => Ok(()),
            fired => Err(format!("{class:?} fired {fired} times, not {times}")),
        }
    }

    /// Demands that two commits followed one epoch at some time.
    pub(super) fn keys_forked(&self) -> End {
        if self.sometimes.0.contains_key(FORKED) {
            return Ok(());
        }
        Err("the keys did not fork".to_owned())
    }

    /// Demands that these devices are in the same epoch.
    pub(super) fn in_one_epoch(&self, devices: &[u16]) -> End {
        let space = self.space.ok_or("there is no Space")?;
        let mut epochs = BTreeSet::new();
        for index in devices {
            let group = self.node_of(*index)?.peek_group(&space);
            epochs.insert(group.map(|(epoch, ..)| epoch));
        }
        match epochs.len() {
            1 => Ok(()),
            count => Err(format!("they are in {count} epochs")),
        }
    }

    /// Demands that these devices hold the same ops and show the same.
    pub(super) fn all_alike(&self, devices: &[u16]) -> End {
        let space = self.space.ok_or("there is no Space")?;
        let of = |index: u16| {
            let node = self.node_of(index)?;
            let state = node.state_hash(space).map_err(|e| e.to_string())?;
            Ok::<_, String>((self.devices[usize::from(index)].accepted.len(), state))
        };
        let Some(first) = devices.first().copied() else {
            return Ok(());
        };
        let expected = of(first)?;
        for index in devices {
            let here = of(*index)?;
            if here != expected {
                let (ops, others) = (here.0, expected.0);
                return Err(format!(
                    "node {index} holds {ops} ops and node {first} {others}, or they show another state"
                ));
            }
        }
        Ok(())
    }
}
