//! Names that look alike though they are not the same.
//!
//! Names are claims, and nobody owns one: whoever comes second may call themself like the first, in
//! letters of another script if need be. So people are told which members look alike; their keys
//! tell them apart. What looks like what stands in Unicode's table of confusables (UTS #39).

use std::collections::{BTreeMap, BTreeSet};

use oplog::UserId;
use unicode_security::skeleton;

/// Returns for each person the others who go by a name that looks like theirs.
pub(crate) fn namesakes(names: &[(UserId, &str)]) -> BTreeMap<UserId, Vec<UserId>> {
    let mut by_look: BTreeMap<String, BTreeSet<UserId>> = BTreeMap::new();
    for (user, name) in names {
        for look in looks(name) {
            by_look.entry(look).or_default().insert(*user);
        }
    }
    let mut all: BTreeMap<UserId, BTreeSet<UserId>> = BTreeMap::new();
    for users in by_look.values().filter(|users| users.len() > 1) {
        for user in users {
            let others = users.iter().filter(|other| *other != user);
            all.entry(*user).or_default().extend(others);
        }
    }
    let listed = |(user, others): (UserId, BTreeSet<UserId>)| (user, others.into_iter().collect());
    all.into_iter().map(listed).collect()
}

/// What a name looks like, as it stands and in small letters: a capital I looks like an l, and
/// ADMIN says the same as admin. Blanks show as none.
fn looks(name: &str) -> [String; 2] {
    let of = |text: &str| skeleton(text).filter(|c| !c.is_whitespace()).collect();
    [of(name), of(&name.to_lowercase())]
}
