//! What must hold of every control plane, whatever people did.

use oplog::authority::View;
use oplog::payload::Weight;

use crate::oracle::{Oracle, Outcome};
use crate::world::{Do, P, World};

/// Everyone who takes part in the tests.
pub(crate) const PEOPLE: u8 = 7;

/// Gives the oracle the last op of a world.
pub(crate) fn tell(oracle: &mut Oracle, world: &World) {
    let place = oracle.ops.len();
    let (who, what, seen) = world.told[place].clone();
    let id = world.ids[place];
    let header = world.dag.node(&id).expect("own op").op.header().clone();
    oracle.add(
        who,
        what,
        &seen,
        *id.as_bytes(),
        header.hlc.as_raw(),
        (world.devices[place], *header.device.as_bytes()),
    );
}

/// Compares fold and oracle over everything, and checks the properties of A25.
pub(crate) fn check(world: &mut World, oracle: &mut Oracle) {
    let outcome = oracle.fold(oracle.everything());
    let view = world.all();
    for (i, id) in world.ids.iter().enumerate() {
        let said = view.verdict(id);
        let expected = outcome.counts & (1 << i) != 0;
        assert_eq!(said.is_effective(), expected, "op {i}: {said}\n{world:?}");
    }
    for p in (0..PEOPLE).map(P) {
        let user = p.user();
        let expected = outcome.members.get(&p).map(|(weight, _)| *weight);
        assert_eq!(
            view.weight(&user).map(Weight::get),
            expected,
            "{p:?} in {world:?}"
        );
        assert_eq!(
            view.ban(&user).is_some(),
            outcome.banned.contains(&p),
            "{p:?} in {world:?}"
        );
        for n in 0..3 {
            let device = p.nth_device(n);
            let revoked = outcome.revoked.contains(&(p, n));
            assert_eq!(
                view.is_device_revoked(&device),
                revoked,
                "{p:?} in {world:?}"
            );
            let live = outcome.since.contains_key(&(p, n)) && !revoked;
            assert_eq!(
                view.device_user(&device).is_some(),
                live,
                "{p:?} in {world:?}"
            );
        }
        let muted = view.mute_at_key(&user, None).is_some();
        assert_eq!(muted, outcome.muted.contains(&p), "{p:?} in {world:?}");
    }
    for (i, id) in world.ids.iter().enumerate() {
        let expected = outcome.uses.get(&i).copied().unwrap_or(0);
        assert_eq!(view.invite_uses(id) as usize, expected);
    }
    ranks_compare_alike(world, oracle);
    let again = world.fold.recompute(&world.dag, world.dag.heads());
    assert_eq!(*view, again, "quick and plain fold differ: {:?}", world);
    authority_holds_in_the_effective_past(oracle, &outcome, world);
    bans_yield_to_rank_alone(oracle, &outcome, world);
    leavers_are_silent(oracle, &outcome, world);
    revoked_devices_are_silent(oracle, &outcome, world);
    quorums_are_of_admins(oracle, &outcome, world);
    proofs_agree(oracle, world);
    the_founder_stays(&outcome, world);
}

fn ranks_compare_alike(world: &World, oracle: &Oracle) {
    let ranks: Vec<_> = world
        .ids
        .iter()
        .map(|id| world.fold.standing(id).expect("own op"))
        .collect();
    for (i, a) in ranks.iter().enumerate() {
        assert_eq!(a.needed.get(), oracle.fixed_of(i).needed, "{:?}", world);
        for (j, b) in ranks.iter().enumerate() {
            let expected = oracle.fixed_of(i).rank.cmp(&oracle.fixed_of(j).rank);
            assert_eq!(a.rank.cmp(&b.rank), expected, "{i} and {j} in {:?}", world);
        }
    }
}

/// A25: nobody acts with an authority that what counts in the act's own past did not give.
fn authority_holds_in_the_effective_past(oracle: &Oracle, outcome: &Outcome, world: &World) {
    for (i, op) in oracle.ops.iter().enumerate() {
        // What somebody says of their own devices needs no authority here.
        let exempt = matches!(
            op.what,
            Do::Found | Do::Leave | Do::Admit(..) | Do::Revoke(..) | Do::Prove(..)
        );
        if exempt || op.quorum.is_some() || outcome.counts & (1 << i) == 0 {
            continue;
        }
        let held = oracle.authority_within(op.past, outcome.counts, op.who);
        let needed = oracle.fixed_of(i).needed;
        assert!(held >= Some(needed), "op {i} held {held:?} in {:?}", world);
    }
}

/// A25: whoever is a member despite an effective ban was let in by no lower rank.
fn bans_yield_to_rank_alone(oracle: &Oracle, outcome: &Outcome, world: &World) {
    for (b, op) in oracle.ops.iter().enumerate() {
        let Do::Ban(p) = op.what else { continue };
        if outcome.counts & (1 << b) == 0 || !outcome.members.contains_key(&p) {
            continue;
        }
        let admits = |what: &Do| match what {
            Do::Add(members) => members.iter().any(|(m, _)| *m == p),
            Do::Admit(people, _) => people.contains(&p),
            Do::Unban(t) | Do::Role(t, _) => *t == p,
            _ => false,
        };
        let lifted = oracle.ops.iter().enumerate().any(|(y, other)| {
            outcome.counts & (1 << y) != 0
                && admits(&other.what)
                && !oracle.sees(b, y)
                && oracle.fixed_of(y).rank >= oracle.fixed_of(b).rank
        });
        assert!(lifted, "{p:?} walked past ban {b} in {:?}", world);
    }
}

/// A25: after a Leave none of the leaver's concurrent control ops count, nor later ones
/// without an admission in between.
fn leavers_are_silent(oracle: &Oracle, outcome: &Outcome, world: &World) {
    for (l, leave) in oracle.ops.iter().enumerate() {
        if leave.what != Do::Leave || outcome.counts & (1 << l) == 0 {
            continue;
        }
        for (o, op) in oracle.ops.iter().enumerate() {
            let of_own = matches!(op.what, Do::Leave | Do::Revoke(..) | Do::Prove(..))
                || op.quorum.is_some();
            if op.who != leave.who || of_own || outcome.counts & (1 << o) == 0 {
                continue;
            }
            assert!(
                !oracle.apart(l, o),
                "op {o} beside Leave {l} in {:?}",
                world
            );
            let readmitted = oracle.ops.iter().enumerate().any(|(a, admission)| {
                oracle.sees(o, a)
                    && oracle.sees(a, l)
                    && outcome.counts & (1 << a) != 0
                    && match &admission.what {
                        Do::Add(members) => members.iter().any(|(m, _)| *m == op.who),
                        Do::Admit(people, _) => people.contains(&op.who),
                        // Whoever promotes a returned leaver confirms the return.
                        Do::Role(p, _) => *p == op.who,
                        _ => false,
                    }
            });
            // An admission by invite stands on the invite alone (A17), whoever held the door.
            let silent = readmitted || matches!(op.what, Do::Admit(..));
            assert!(
                !oracle.sees(o, l) || silent,
                "op {o} after Leave {l}: {:?}",
                world
            );
        }
    }
}

/// A25, A1: a device that its person revoked for good did nothing that the revoker had not seen,
/// but to give up authority in its turn.
fn revoked_devices_are_silent(oracle: &Oracle, outcome: &Outcome, world: &World) {
    for (r, revoke) in oracle.ops.iter().enumerate() {
        let Do::Revoke(n, _) = revoke.what else {
            continue;
        };
        if outcome.counts & (1 << r) == 0 {
            continue;
        }
        for (o, op) in oracle.ops.iter().enumerate() {
            let gives_up = match op.what {
                Do::Leave | Do::Revoke(..) | Do::Found | Do::Prove(..) => true,
                Do::Role(p, _) => p == op.who,
                _ => false,
            };
            let silent =
                op.quorum.is_some() || op.who != revoke.who || op.device_no() != n || gives_up;
            assert!(
                silent || outcome.counts & (1 << o) == 0 || oracle.sees(r, o),
                "op {o} by a device that {r} revoked, in {:?}",
                world
            );
        }
    }
}

/// A25: what admins did together, two of them at least were entitled to in the effective past.
fn quorums_are_of_admins(oracle: &Oracle, outcome: &Outcome, world: &World) {
    for (o, op) in oracle.ops.iter().enumerate() {
        let Some((signers, _)) = op
            .quorum
            .as_ref()
            .filter(|_| outcome.counts & (1 << o) != 0)
        else {
            continue;
        };
        let entitled = signers
            .iter()
            .filter(|p| oracle.authority_within(op.past, outcome.counts, **p) >= Some(50));
        assert!(entitled.count() >= 2, "op {o} in {world:?}");
    }
}

/// I15: who equivocates loses what no proof knew of, and nothing that any proof did: whatever one
/// reporter leaves out, another's word keeps.
fn proofs_agree(oracle: &Oracle, world: &mut World) {
    for o in 0..oracle.ops.len() {
        let exempt = matches!(oracle.ops[o].what, Do::Found | Do::Prove(..))
            || oracle.ops[o].quorum.is_some();
        let out =
            !exempt && oracle.fixed_of(o).member && oracle.is_frozen_out(oracle.everything(), o);
        assert_eq!(world.rule(o) == Some("B11"), out, "op {o} in {world:?}");
    }
}

/// I7: the owner survives every duel.
fn the_founder_stays(outcome: &Outcome, world: &World) {
    let left = world
        .told
        .iter()
        .any(|(who, what, _)| *who == P(0) && matches!(what, Do::Leave | Do::Role(P(0), _)));
    let weight = outcome.members.get(&P(0)).map(|(w, _)| *w);
    assert!(left || weight == Some(100), "{:?}", world);
}
