//! Numbers that were chosen, and that the simulator can choose otherwise for one world: is another
//! value better?
//!
//! A number stays where it is used, with its reason; there one short call says which [`Knob`] it is.
//! Without the feature `tuning` the call is that number and nothing else is left. Behind the feature,
//! which the simulator alone asks for, a thread can have another value for one knob: for all nodes of
//! a world alike, since one world runs in one thread.
//!
//! Only what each device may choose for itself is here. A number of the protocol decides which ops are
//! accepted or which branch counts: what it trades shows against the best attack, not in what people
//! do (`docs/design/constants.md`).

/// Declares the knobs once: name, crate, unit, what the number says.
macro_rules! knobs {
    ($($name:ident $id:literal $area:literal $unit:literal $says:literal;)*) => {
        /// One number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Knob { $(#[doc = $says] $name,)* }

        impl Knob {
            /// Every knob, by crate.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns its name.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// Returns the file it is in.
            #[must_use]
            pub const fn area(self) -> &'static str {
                match self { $(Self::$name => $area,)* }
            }

            /// Returns in what it is counted.
            #[must_use]
            pub const fn unit(self) -> &'static str {
                match self { $(Self::$name => $unit,)* }
            }

            /// Returns what it says.
            #[must_use]
            pub const fn says(self) -> &'static str {
                match self { $(Self::$name => $says,)* }
            }
        }
    };
}

knobs! {
    CommitTurn "commit-turn" "node/src/commit.rs" "ms" "one place in the order of who commits";
    AdmitTurn "admit-turn" "node/src/admit.rs" "ms" "one place in the order of who lets somebody in";
    ForkDoublings "fork-doublings" "node/src/turns.rs" "times" "how often forks double turns at most";
    LetterTurn "letter-turn" "node/src/letters.rs" "ms" "one place in the order of who writes a letter";
    GiveTurn "give-turn" "node/src/repair.rs" "ms" "one place in the order of who answers a Have or Want";
    HaveEvery "have-every" "node/src/repair.rs" "ms a device" "least time between two Haves";
    HaveAfter "have-after" "node/src/repair.rs" "ms" "from something new to the Have that tells it";
    WantAfter "want-after" "node/src/repair.rs" "ms" "from a gap to the Want for it";
    AskAgain "ask-again" "node/src/repair.rs" "ms" "first of the doubling waits while something is missing";
    Snapshots "snapshots" "node/src/retention.rs" "epochs" "states kept of the own branch";
    SideSnapshots "side-snapshots" "node/src/retention.rs" "epochs" "states kept of other branches";
}

impl Knob {
    /// Returns the knob of this name.
    #[must_use]
    pub fn by_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|knob| knob.id() == id)
    }
}

#[cfg(not(feature = "tuning"))]
mod value {
    use super::Knob;

    /// Returns the number: as it was chosen.
    #[must_use]
    #[inline(always)]
    pub const fn tuned(_: Knob, chosen: u64) -> u64 {
        chosen
    }
}

#[cfg(feature = "tuning")]
mod value {
    use core::cell::Cell;

    use super::Knob;

    thread_local! {
        static OTHER: Cell<Option<(Knob, u64)>> = const { Cell::new(None) };
    }

    /// Returns the number: as it was chosen, unless this thread has another one.
    #[must_use]
    pub fn tuned(knob: Knob, chosen: u64) -> u64 {
        match OTHER.get() {
            Some((other, value)) if other == knob => value,
            _ => chosen,
        }
    }

    /// Until it is dropped, this thread has what [`tune`] told it; then as before.
    #[derive(Debug)]
    #[must_use = "dropping it ends what it began"]
    pub struct Tuned {
        before: Option<(Knob, u64)>,
    }

    /// Gives one knob another value in this thread, or none.
    pub fn tune(other: Option<(Knob, u64)>) -> Tuned {
        Tuned {
            before: OTHER.replace(other),
        }
    }

    impl Drop for Tuned {
        fn drop(&mut self) {
            OTHER.set(self.before);
        }
    }
}

pub use value::*;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_knob_is_found_by_a_name_of_its_own() {
        let ids: BTreeSet<_> = Knob::ALL.iter().map(|knob| knob.id()).collect();
        assert_eq!(ids.len(), Knob::ALL.len());
        for knob in Knob::ALL {
            assert_eq!(Knob::by_id(knob.id()), Some(*knob));
        }
    }

    #[cfg(feature = "tuning")]
    #[test]
    fn another_value_holds_for_one_knob_in_one_thread_until_it_is_dropped() {
        let value = || tuned(Knob::CommitTurn, 7);
        let other = tune(Some((Knob::CommitTurn, 9)));
        assert_eq!(value(), 9);
        assert_eq!(tuned(Knob::AdmitTurn, 7), 7);
        assert_eq!(
            std::thread::spawn(move || tuned(Knob::CommitTurn, 7))
                .join()
                .unwrap(),
            7
        );
        drop(other);
        assert_eq!(value(), 7);
    }
}
