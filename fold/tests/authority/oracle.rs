//! The rules of B4 once more, as a brute-force fixed point over bit sets: slow, plain, and
//! sharing no code with the fold. Iterates from "all count" and from "none counts" and
//! demands that both ends meet.

use std::collections::{BTreeMap, BTreeSet};

use crate::world::{Do, P};

/// Ops as bits.
type Set = u64;

/// Greater wins: weight, then the earlier grant, then what the op is.
pub(crate) type Rank = (u8, i64, [u8; 32], i16, i8);

#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) who: P,
    pub(crate) what: Do,
    pub(crate) past: Set,
    depth: i64,
    id: [u8; 32],
    hlc: u64,
    device: (u8, [u8; 32]),
    /// Of an act of several: who they are, and how many of them it takes. `what` is what they do.
    pub(crate) quorum: Option<(Vec<P>, usize)>,
    fixed: Fixed,
}

impl Op {
    pub(crate) fn device_no(&self) -> u8 {
        self.device.0
    }
}

/// What follows from the op's own past.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    pub(crate) rank: Rank,
    pub(crate) needed: u8,
    pub(crate) member: bool,
    down: bool,
    confirms: bool,
}

/// What some set of ops folds to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) counts: Set,
    /// Weight and rank of members.
    pub(crate) members: BTreeMap<P, (u8, Rank)>,
    pub(crate) banned: BTreeSet<P>,
    pub(crate) muted: BTreeSet<P>,
    pub(crate) uses: BTreeMap<usize, usize>,
    /// When each device came in.
    pub(crate) since: BTreeMap<(P, u8), (i64, [u8; 32])>,
    pub(crate) revoked: BTreeSet<(P, u8)>,
}

#[derive(Clone, Default)]
pub(crate) struct Oracle {
    pub(crate) ops: Vec<Op>,
    known: BTreeMap<Set, Outcome>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Facet {
    Member,
    Role,
}

impl core::fmt::Debug for Oracle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ops", self.ops.len())
    }
}

/// Which ops count, and which admissions miss one of their people.
#[derive(Clone, Default, PartialEq, Eq)]
struct Guess {
    counts: Set,
    missed: BTreeSet<(usize, P, bool)>,
}

const TOP: Rank = (255, 0, [255; 32], 0, 1);
const LOWEST: Rank = (0, i64::MIN, [0; 32], i16::MIN, i8::MIN);

impl Oracle {
    /// Adds an op whose parents are here, by their places.
    pub(crate) fn add(
        &mut self,
        who: P,
        what: Do,
        parents: &[usize],
        id: [u8; 32],
        hlc: u64,
        device: (u8, [u8; 32]),
    ) {
        let past = parents
            .iter()
            .fold(0, |set, p| set | self.ops[*p].past | (1 << p));
        let depth = 1 + parents
            .iter()
            .map(|p| self.ops[*p].depth)
            .max()
            .unwrap_or(0);
        let at = self.fold(past);
        let (quorum, what) = match what {
            Do::Quorum(signers, action) => {
                let target = match *action {
                    Do::Kick(p) | Do::Ban(p) | Do::Role(p, _) => Some(p),
                    _ => None,
                };
                let voters = at
                    .members
                    .iter()
                    .filter(|(p, (w, _))| *w >= 50 && *w < 100 && Some(**p) != target);
                let voters = voters.count();
                let needs = match *action {
                    Do::Role(_, 50..) => voters,
                    _ => (2 * voters).div_ceil(3),
                };
                (Some((signers, needs.max(2))), *action)
            }
            what => (None, what),
        };
        let mut fixed = self.fixed((who, device.0), &what, past, &at);
        if quorum.is_some() {
            let mut not = id;
            for byte in &mut not {
                *byte = !*byte;
            }
            fixed.rank = (90, -depth, not, 0, 0);
            fixed.needed = 50;
        }
        self.ops.push(Op {
            who,
            what,
            past,
            depth,
            id,
            hlc,
            device,
            quorum,
            fixed,
        });
    }

    pub(crate) fn everything(&self) -> Set {
        (1 << self.ops.len()) - 1
    }

    pub(crate) fn fixed_of(&self, i: usize) -> &Fixed {
        &self.ops[i].fixed
    }

    pub(crate) fn sees(&self, later: usize, earlier: usize) -> bool {
        self.ops[later].past & (1 << earlier) != 0
    }

    pub(crate) fn apart(&self, a: usize, b: usize) -> bool {
        a != b && !self.sees(a, b) && !self.sees(b, a)
    }

    fn fixed(&self, (who, device): (P, u8), what: &Do, past: Set, at: &Outcome) -> Fixed {
        let own = at.members.get(&who).copied();
        let weight = own.map_or(0, |(w, _)| w);
        let weight_of = |p: &P| at.members.get(p).map(|(w, _)| *w);
        let above = |p: &P| weight_of(p).map_or(0, |w| (w + 1).min(100));
        let needed = match what {
            Do::Found
            | Do::Leave
            | Do::Merge
            | Do::Device(_)
            | Do::Revoke(..)
            | Do::Prove(..)
            | Do::Quorum(..) => 1,
            Do::Add(members) => {
                let gives = |w: u8| if w > 10 { to_give(w) } else { w };
                let most = members.iter().map(|(_, w)| gives(*w)).max();
                most.unwrap_or(0).max(20)
            }
            Do::Admit(..) => 10,
            Do::Kick(p) | Do::Mute(p) => above(p).max(20),
            Do::Ban(p) => above(p).max(50),
            Do::Unban(_) => 50,
            Do::Role(p, w) if *p == who => *w,
            Do::Role(p, w) => above(p).max(50).max(to_give(*w)),
            Do::Unmute(_) | Do::Invite(_) | Do::CloseInvite(_) => 20,
        };
        let rank = match what {
            Do::Found | Do::Prove(..) => TOP,
            Do::Admit(_, invite) if past & (1 << invite) != 0 => {
                let (w, g, id, user, _) = self.ops[*invite].fixed.rank;
                (w, g, id, user, -1)
            }
            Do::Revoke(n, identity) => own.map_or(LOWEST, |(_, (w, g, id, user, _))| {
                let since = |n: u8| at.since.get(&(who, n));
                let older = since(device).zip(since(*n)).is_some_and(|(a, b)| a < b);
                let sub = if *identity { 2 } else { i8::from(older) };
                (w, g, id, user, sub)
            }),
            _ => own.map_or(LOWEST, |(_, rank)| rank),
        };
        let (down, confirms) = match what {
            Do::Role(p, w) => (
                weight_of(p).is_some_and(|now| *w < now),
                weight_of(p).is_some_and(|now| *w >= now),
            ),
            _ => (false, false),
        };
        Fixed {
            rank,
            needed: needed.min(weight).max(1),
            member: own.is_some() || *what == Do::Found,
            down,
            confirms,
        }
    }

    /// Folds a causally closed set.
    pub(crate) fn fold(&mut self, set: Set) -> Outcome {
        if let Some(known) = self.known.get(&set) {
            return known.clone();
        }
        let mut low = Guess::default();
        let mut high = Guess {
            counts: set,
            ..Guess::default()
        };
        for guess in [&mut low, &mut high] {
            let mut steps = 0..=2 * self.ops.len();
            loop {
                let next = self.step(set, guess);
                if next == *guess {
                    break;
                }
                assert!(steps.next().is_some(), "no fixed point");
                *guess = next;
            }
        }
        assert!(low == high, "more than one fixed point");
        let outcome = self.outcome(set, &low);
        self.known.insert(set, outcome.clone());
        outcome
    }

    fn step(&self, set: Set, guess: &Guess) -> Guess {
        let mut next = Guess::default();
        for o in self.within(set) {
            if self.stands(set, guess, o) {
                next.counts |= 1 << o;
            }
            if let Do::Add(_) | Do::Admit(..) = self.ops[o].what {
                for p in self.subjects(o) {
                    for facet in [Facet::Member, Facet::Role] {
                        if self.is_barred(set, guess, o, p, facet) {
                            next.missed.insert((o, p, facet == Facet::Role));
                        }
                    }
                }
            }
        }
        next
    }

    fn stands(&self, set: Set, guess: &Guess, o: usize) -> bool {
        let op = &self.ops[o];
        if !op.fixed.member {
            return false;
        }
        if matches!(op.what, Do::Found | Do::Prove(..)) {
            return true;
        }
        if op.quorum.is_some() {
            return self.quorum_holds(set, guess, o) && !self.is_barred_at_all(set, guess, o);
        }
        if self.device_is_gone(set, guess, o) || self.is_frozen_out(set, o) {
            return false;
        }
        if matches!(op.what, Do::Leave | Do::Revoke(..)) {
            return true;
        }
        let revoked = self.within(set & guess.counts).any(|r| {
            self.apart(r, o)
                && self.goes_first(r, o)
                && self
                    .takes_from(r)
                    .is_some_and(|(p, left)| p == op.who && left < op.fixed.needed)
        });
        if revoked {
            return false;
        }
        let authority = match &op.what {
            Do::Admit(people, invite) => {
                self.invite_is_open(set, guess, o, *invite)
                    && self.invite_has_room(set, guess, o, *invite, people.len())
            }
            _ => self.has_grant(set, guess, o, op.who),
        };
        authority && !self.is_barred_at_all(set, guess, o)
    }

    /// A10: it would undo what stands and ranks higher.
    fn is_barred_at_all(&self, set: Set, guess: &Guess, o: usize) -> bool {
        let op = &self.ops[o];
        match &op.what {
            Do::Unban(p) => self.is_barred(set, guess, o, *p, Facet::Member),
            Do::Role(p, _) => {
                (!op.fixed.down && self.is_barred(set, guess, o, *p, Facet::Member))
                    || self.is_barred(set, guess, o, *p, Facet::Role)
            }
            Do::Unmute(p) => self.within(set & guess.counts).any(|r| {
                self.ops[r].what == Do::Mute(*p)
                    && self.sees(o, r)
                    && self.ops[r].fixed.rank > op.fixed.rank
                    && !self.within(set & guess.counts).any(|y| {
                        self.ops[y].what == Do::Unmute(*p)
                            && self.sees(y, r)
                            && self.sees(o, y)
                            && self.ops[y].fixed.rank >= self.ops[r].fixed.rank
                    })
            }),
            _ => false,
        }
    }

    /// Its person revoked the device, and had not seen this op.
    fn device_is_gone(&self, set: Set, guess: &Guess, o: usize) -> bool {
        let op = &self.ops[o];
        let gives_up = self.takes_from(o).is_some_and(|(p, _)| p == op.who)
            || matches!(op.what, Do::Revoke(..));
        self.within(set & guess.counts).any(|r| {
            let other = &self.ops[r];
            r != o
                && other.who == op.who
                && matches!(other.what, Do::Revoke(n, _) if n == op.device.0)
                && !self.sees(r, o)
                && (!gives_up || other.fixed.rank.4 > op.fixed.rank.4)
        })
    }

    /// Someone proved that its device equivocates, and no proof knew of this op.
    pub(crate) fn is_frozen_out(&self, set: Set, o: usize) -> bool {
        let op = &self.ops[o];
        let proofs: Vec<(usize, Option<usize>)> = self
            .within(set)
            .filter_map(|i| match self.ops[i].what {
                Do::Prove(p, n, seen) if self.ops[i].fixed.member => {
                    ((p, n) == (op.who, op.device.0)).then_some((i, seen))
                }
                _ => None,
            })
            .collect();
        let known = proofs.iter().any(|(proof, seen)| {
            self.sees(*proof, o)
                || seen.is_some_and(|head| {
                    let other = &self.ops[head];
                    set & (1 << head) != 0
                        && (other.who, other.device.0) == (op.who, op.device.0)
                        && (head == o || self.sees(head, o))
                })
        });
        !proofs.is_empty() && !known && !matches!(op.what, Do::Revoke(_, true))
    }

    /// Enough of those who signed still may, and nobody used their signatures beside it.
    fn quorum_holds(&self, set: Set, guess: &Guess, o: usize) -> bool {
        let op = &self.ops[o];
        let Some((signers, needs)) = &op.quorum else {
            return false;
        };
        let used = self.within(set & guess.counts).any(|other| {
            let x = &self.ops[other];
            let same = (x.who, x.device.0, &x.what) == (op.who, op.device.0, &op.what);
            same && x.quorum.is_some() && self.apart(other, o) && self.goes_first(other, o)
        });
        let votes = signers.iter().filter(|p| {
            let gone = self.within(set).any(|r| {
                let x = &self.ops[r];
                let ends = match x.what {
                    Do::Revoke(0, _) => x.who == **p && guess.counts & (1 << r) != 0,
                    Do::Prove(q, 0, _) => q == **p && x.fixed.member,
                    _ => false,
                };
                ends && !self.sees(r, o)
            });
            let revoked = self.within(set & guess.counts).any(|r| {
                self.apart(r, o)
                    && self.goes_first(r, o)
                    && self
                        .takes_from(r)
                        .is_some_and(|(q, left)| q == **p && left < 50)
            });
            !gone && !revoked && self.has_grant(set, guess, o, **p)
        });
        !used && votes.count() >= *needs
    }

    /// Whether `a` may have a say about `b`: higher rank, or giving up what is one's own.
    fn goes_first(&self, a: usize, b: usize) -> bool {
        let (x, y) = (&self.ops[a], &self.ops[b]);
        let own = |i: usize| {
            let by_self = |(p, _)| p == self.ops[i].who && self.ops[i].quorum.is_none();
            self.takes_from(i).is_some_and(by_self)
        };
        matches!(
            x.what,
            Do::Found | Do::Leave | Do::Revoke(..) | Do::Prove(..)
        ) || x.fixed.rank > y.fixed.rank
            || (x.fixed.rank == y.fixed.rank && x.who == y.who && own(a) && !own(b))
    }

    fn takes_from(&self, r: usize) -> Option<(P, u8)> {
        match &self.ops[r].what {
            Do::Kick(p) | Do::Ban(p) => Some((*p, 0)),
            Do::Leave => Some((self.ops[r].who, 0)),
            Do::Role(p, w) if self.ops[r].fixed.down => Some((*p, *w)),
            _ => None,
        }
    }

    /// `Some(true)` makes a member, `Some(false)` ends it.
    fn on_membership(&self, w: usize, p: P) -> Option<bool> {
        let op = &self.ops[w];
        match &op.what {
            Do::Found => (p == P(0)).then_some(true),
            Do::Add(members) => members.iter().any(|(m, _)| *m == p).then_some(true),
            Do::Admit(people, _) => people.contains(&p).then_some(true),
            Do::Role(t, _) => (*t == p && op.fixed.confirms).then_some(true),
            Do::Kick(t) | Do::Ban(t) => (*t == p).then_some(false),
            Do::Leave => (op.who == p).then_some(false),
            _ => None,
        }
    }

    fn on_role(&self, w: usize, p: P) -> Option<u8> {
        let op = &self.ops[w];
        match &op.what {
            Do::Found => (p == P(0)).then_some(100),
            Do::Add(members) => members.iter().find(|(m, _)| *m == p).map(|(_, w)| *w),
            Do::Admit(people, _) => people.contains(&p).then_some(10),
            Do::Role(t, w) => (*t == p).then_some(*w),
            _ => None,
        }
    }

    fn reaches(&self, guess: &Guess, w: usize, p: P, facet: Facet) -> bool {
        guess.counts & (1 << w) != 0 && !guess.missed.contains(&(w, p, facet == Facet::Role))
    }

    /// A9, by key: what the author was in the op's own past, as far as it was settled before.
    fn has_grant(&self, set: Set, guess: &Guess, o: usize, p: P) -> bool {
        let op = &self.ops[o];
        let member = self.winner(self.within(set & op.past).filter(|w| {
            let effect = self.on_membership(*w, p);
            effect.is_some()
                && if self.goes_first(*w, o) {
                    self.reaches(guess, *w, p, Facet::Member)
                } else {
                    effect == Some(false)
                }
        }));
        let role = self.winner(self.within(set & op.past).filter(|w| {
            let level = self.on_role(*w, p);
            level.is_some()
                && if self.goes_first(*w, o) {
                    self.reaches(guess, *w, p, Facet::Role)
                } else {
                    level < Some(op.fixed.needed)
                }
        }));
        member.is_some_and(|w| self.on_membership(w, p) == Some(true))
            && role.is_some_and(|w| self.on_role(w, p) >= Some(op.fixed.needed))
    }

    fn invite_is_open(&self, set: Set, guess: &Guess, o: usize, invite: usize) -> bool {
        guess.counts & (1 << invite) != 0
            && self.sees(o, invite)
            && !self.within(set & self.ops[o].past).any(|r| {
                self.ops[r].what == Do::CloseInvite(invite)
                    && (guess.counts & (1 << r) != 0 || !self.goes_first(r, o))
            })
    }

    fn invite_has_room(
        &self,
        set: Set,
        guess: &Guess,
        o: usize,
        invite: usize,
        people: usize,
    ) -> bool {
        let Do::Invite(max) = self.ops[invite].what else {
            return false;
        };
        let before: usize = self
            .within(set & guess.counts)
            .filter(|a| {
                let (x, y) = (&self.ops[*a], &self.ops[o]);
                self.apart(*a, o)
                    && x.who == y.who
                    && (x.depth, x.id) < (y.depth, y.id)
                    && matches!(&x.what, Do::Admit(_, i) if *i == invite)
            })
            .map(|a| self.subjects(a).len())
            .sum();
        before + people <= max as usize
    }

    /// A10: something of higher rank stands in the op's past that it would undo for this person.
    fn is_barred(&self, set: Set, guess: &Guess, o: usize, p: P, facet: Facet) -> bool {
        let undoes = |x: usize, r: usize| match facet {
            Facet::Member => {
                self.ops[x].what == Do::Unban(p) || self.on_membership(x, p) == Some(true)
            }
            Facet::Role => self
                .on_role(x, p)
                .is_some_and(|w| Some(w) > self.on_role(r, p)),
        };
        let restricts = |r: usize| match facet {
            Facet::Member => self.ops[r].what == Do::Ban(p),
            Facet::Role => {
                self.ops[r].fixed.down && matches!(self.ops[r].what, Do::Role(t, _) if t == p)
            }
        };
        self.within(set & guess.counts & self.ops[o].past)
            .filter(|r| restricts(*r) && undoes(o, *r))
            .filter(|r| self.ops[*r].fixed.rank > self.ops[o].fixed.rank)
            .any(|r| {
                !self
                    .within(set & self.ops[o].past)
                    .any(|y| self.reverses(guess, y, r, p, facet, undoes(y, r)))
            })
    }

    fn reverses(
        &self,
        guess: &Guess,
        y: usize,
        r: usize,
        p: P,
        facet: Facet,
        undoes: bool,
    ) -> bool {
        undoes
            && self.sees(y, r)
            && self.ops[y].fixed.rank >= self.ops[r].fixed.rank
            && self.reaches(guess, y, p, facet)
    }

    /// The value of a key: the greatest of those writers that no other writer saw.
    fn winner(&self, writers: impl Iterator<Item = usize>) -> Option<usize> {
        let writers: Vec<usize> = writers.collect();
        let last = |w: &usize| !writers.iter().any(|v| self.sees(*v, *w));
        writers.iter().copied().filter(last).max_by_key(|w| {
            let op = &self.ops[*w];
            let strict = match op.what {
                Do::Ban(_) => 5,
                Do::Kick(_) | Do::Leave | Do::Revoke(..) => 4,
                Do::Role(..) if op.fixed.down => 3,
                Do::Mute(_) => 2,
                _ => 0,
            };
            let rank = if op.what == Do::Leave {
                TOP
            } else {
                op.fixed.rank
            };
            (rank, strict, op.hlc, op.device, op.id)
        })
    }

    fn outcome(&self, set: Set, fixed: &Guess) -> Outcome {
        let mut outcome = Outcome {
            counts: fixed.counts,
            ..Outcome::default()
        };
        let people: BTreeSet<P> = self.within(set).flat_map(|o| self.subjects(o)).collect();
        for p in people {
            let writes = |facet| {
                self.within(set).filter(move |w| {
                    self.reaches(fixed, *w, p, facet)
                        && match facet {
                            Facet::Member => self.on_membership(*w, p).is_some(),
                            Facet::Role => self.on_role(*w, p).is_some(),
                        }
                })
            };
            let member = self.winner(writes(Facet::Member));
            let role = self.winner(writes(Facet::Role));
            if let (Some(m), Some(r)) = (member, role)
                && self.on_membership(m, p) == Some(true)
            {
                let weight = self.on_role(r, p).unwrap_or(0);
                let grant = &self.ops[r];
                let mut id = grant.id;
                for byte in &mut id {
                    *byte = !*byte;
                }
                let rank = (weight, -grant.depth, id, -i16::from(p.0), 0);
                outcome.members.insert(p, (weight, rank));
            } else if self.within(set & fixed.counts).any(|b| {
                self.ops[b].what == Do::Ban(p)
                    && !self.within(set).any(|y| {
                        let lifts = self.ops[y].what == Do::Unban(p)
                            || self.on_membership(y, p) == Some(true);
                        self.reverses(fixed, y, b, p, Facet::Member, lifts)
                    })
            }) {
                outcome.banned.insert(p);
            }
            let mutes = self.within(set & fixed.counts).filter(|w| {
                let what = &self.ops[*w].what;
                *what == Do::Mute(p) || *what == Do::Unmute(p)
            });
            let muting = self.winner(mutes);
            if muting.is_some_and(|w| self.ops[w].what == Do::Mute(p)) {
                outcome.muted.insert(p);
            }
        }
        self.devices(set, fixed, &mut outcome);
        for o in self.within(set & fixed.counts) {
            if let Do::Admit(people, invite) = &self.ops[o].what {
                *outcome.uses.entry(*invite).or_default() += people.len();
            }
        }
        outcome
    }

    fn devices(&self, set: Set, fixed: &Guess, outcome: &mut Outcome) {
        let certifies = |w: usize, p: P, n: u8| match &self.ops[w].what {
            Do::Device(m) => self.ops[w].who == p && *m == n,
            Do::Found | Do::Add(_) | Do::Admit(..) => {
                n == 0
                    && self.on_membership(w, p) == Some(true)
                    && self.reaches(fixed, w, p, Facet::Member)
            }
            _ => false,
        };
        for o in self.within(set & fixed.counts) {
            if let Do::Prove(p, n, _) = self.ops[o].what {
                outcome.revoked.insert((p, n));
            }
        }
        let people: BTreeSet<P> = self.within(set).flat_map(|o| self.subjects(o)).collect();
        for p in people {
            for n in 0..3 {
                let certs: Vec<usize> = self
                    .within(set & fixed.counts)
                    .filter(|w| certifies(*w, p, n))
                    .collect();
                let first = |w: &usize| !certs.iter().any(|v| self.sees(*w, *v));
                let first = self.winner(certs.iter().copied().filter(first));
                let Some(first) = first else { continue };
                let at = (self.ops[first].depth, self.ops[first].id);
                outcome.since.insert((p, n), at);
                let gone = self.within(set & fixed.counts).any(|r| {
                    self.ops[r].who == p && matches!(self.ops[r].what, Do::Revoke(m, _) if m == n)
                });
                if gone {
                    outcome.revoked.insert((p, n));
                }
            }
        }
    }

    fn subjects(&self, o: usize) -> Vec<P> {
        match &self.ops[o].what {
            Do::Found | Do::Leave => vec![self.ops[o].who],
            Do::Add(members) => members.iter().map(|(p, _)| *p).collect(),
            Do::Admit(people, _) => people.clone(),
            Do::Kick(p)
            | Do::Ban(p)
            | Do::Unban(p)
            | Do::Role(p, _)
            | Do::Mute(p)
            | Do::Unmute(p) => vec![*p],
            Do::Invite(_)
            | Do::CloseInvite(_)
            | Do::Merge
            | Do::Device(_)
            | Do::Revoke(..)
            | Do::Prove(..)
            | Do::Quorum(..) => vec![],
        }
    }

    fn within(&self, set: Set) -> impl Iterator<Item = usize> + use<'_> {
        (0..self.ops.len()).filter(move |i| set & (1 << i) != 0)
    }

    /// The value that the keys have over the ops of `set` that count in the whole: for A25.
    pub(crate) fn authority_within(&self, set: Set, counts: Set, p: P) -> Option<u8> {
        let member = self.winner(
            self.within(set & counts)
                .filter(|w| self.on_membership(*w, p).is_some()),
        )?;
        let role = self.winner(
            self.within(set & counts)
                .filter(|w| self.on_role(*w, p).is_some()),
        )?;
        (self.on_membership(member, p) == Some(true))
            .then(|| self.on_role(role, p))
            .flatten()
    }
}

/// Above moderator only owners give roles.
fn to_give(weight: u8) -> u8 {
    if weight > 20 { 100 } else { 50 }
}
