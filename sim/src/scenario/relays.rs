//! Relays that fail or lie, and members who make it good.

use super::cast::Script;
use super::{Scenario, nothing};
use crate::fault::Class;
use crate::schedule::Fault;

pub(super) const LOSES_ALL: Scenario = Scenario {
    name: "relay-loses-all",
    what: "the only relay loses everything while somebody is away: members give him what he missed",
    script: |seed| {
        let mut script = Script::new(seed, 4, 1, 60);
        let start = script.start();
        script.cut(start, start + 600, &[3], &[0]);
        for at in 0..10 {
            script.post(start + 60 + at * 20, 1);
        }
        let wipe = Fault::RelayDown {
            class: Class::RelayLosesAll,
            relay: 0,
            for_ms: 5_000,
        };
        // Nobody writes any more: nothing but what members tell each other names what he missed.
        script.fault(start + 400, wipe);
        script.done()
    },
    before: |world| world.all_alike(&world.all_but(&[])),
    end: nothing,
};

pub(super) const FORKED_VIEWS: Scenario = Scenario {
    name: "forked-views",
    what: "two relays show different people different things: members still come to the same",
    script: |seed| {
        let mut script = Script::new(seed, 5, 2, 120);
        let start = script.start();
        for relay in 0..2 {
            let lies = Fault::RelayLies {
                class: Class::RelayForks,
                relay,
                for_ms: 7_200_000,
                share: 100,
            };
            script.fault(start, lies);
        }
        for at in 0..30 {
            script.post(start + 10 + at * 20, (at % 5) as u16);
        }
        script.done()
    },
    before: |world| world.all_alike(&world.all_but(&[])),
    end: nothing,
};
