//! A process that stops at its n-th call that changes a file, whatever it is: a write, or half of one, a
//! sync, a new name, a renaming, a removal. And one whose n-th sync fails, or whose disk is full from there.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::program::{Program, on};
use crate::report::Counters;
use crate::session::{self, Act, Reached};
use crate::shim::{How, Shim};
use crate::work::{Workshop, put_back};

/// Stops anywhere in a sitting, and while a profile is made. `points` is how many places are tried, spread
/// over all there are; with more than there are each is tried, a whole call and half a write.
pub(crate) fn stops(workshop: &Workshop, points: u64, counters: &mut Counters) {
    let Some(shim) = Shim::build(workshop, counters) else {
        return;
    };
    let stage = Stage::new(workshop, shim);
    let calls = stage.calls(counters);
    counters.most("calls_in_a_sitting", calls);
    let step = (2 * calls).div_ceil(points.max(1)).max(1);
    // A few more than were counted: the threads of the index do not take the same turns every time.
    for point in (0..2 * (calls + 8)).step_by(usize::try_from(step).unwrap()) {
        if counters.is_over() {
            break;
        }
        let (how, at) = if point % 2 == 0 {
            (How::Stop, point / 2)
        } else {
            (How::Half, point / 2)
        };
        let reached = stage.harmed(how, at, counters);
        // Of what is no write there is no half.
        counters.one(if reached.ended {
            "not_stopped"
        } else {
            "stops"
        });
        let case = format!("{} at call {at}", how.word());
        stage.look(&reached, counters, &case);
    }
    stops_while_made(workshop, &stage.shim, points, counters);
}

/// `init` that stops anywhere: what is left holds nothing, and the next one makes it anew.
fn stops_while_made(workshop: &Workshop, shim: &Shim, points: u64, counters: &mut Counters) {
    let profile = workshop.path("made");
    let run = |harm: Option<(How, u64)>| {
        let mut command = on(&profile, &["init", "--name", "Kim"]);
        shim.under(&mut command, &profile, harm);
        end(command)
    };
    let calls = {
        assert!(run(None).0);
        shim.count()
    };
    counters.most("calls_of_init", calls);
    let step = calls.div_ceil(points.div_ceil(4).max(1)).max(1);
    for at in (0..calls).step_by(usize::try_from(step).unwrap()) {
        if counters.is_over() {
            break;
        }
        if profile.exists() {
            std::fs::remove_dir_all(&profile).unwrap();
        }
        let (done, said) = run(Some((How::Stop, at)));
        counters.one("stops_of_init");
        if said.contains("panicked at") {
            counters.bad("panics", said);
        }
        let case = format!("init stopped at call {at}");
        let (whole, _) = end(on(&profile, &["whoami"]));
        let (again, said) = end(on(&profile, &["init", "--name", "Kim"]));
        counters.one("starts");
        // Either it is there, or making it again works: never neither, never both.
        if whole == again || done && !whole {
            counters.bad("failed_starts", format!("{case}: {said}"));
        }
        let (works, said) = end(on(&profile, &["space", "create", "S0", "--offline"]));
        if !works {
            counters.bad("failed_starts", format!("{case}, afterwards: {said}"));
        }
    }
}

/// A sync that fails, at every place. Whatever is acknowledged in spite of it is there.
pub(crate) fn syncs(workshop: &Workshop, points: u64, counters: &mut Counters) {
    each(workshop, points, How::Sync, "failed_syncs", counters);
}

/// A disk that is full from the n-th call on, until the program ends.
pub(crate) fn full(workshop: &Workshop, points: u64, counters: &mut Counters) {
    each(workshop, points, How::Full, "full_from_a_call", counters);
}

fn each(
    workshop: &Workshop,
    points: u64,
    how: How,
    counted: &'static str,
    counters: &mut Counters,
) {
    let Some(shim) = Shim::build(workshop, counters) else {
        return;
    };
    let stage = Stage::new(workshop, shim);
    stage.harmed(how, u64::MAX, counters);
    let places = stage.shim.count();
    counters.most("places", places);
    let step = places.div_ceil(points.max(1)).max(1);
    let mut refusals = 0;
    for at in (0..places).step_by(usize::try_from(step).unwrap()) {
        if counters.is_over() {
            break;
        }
        let reached = stage.harmed(how, at, counters);
        counters.one(counted);
        refusals += reached.refused.len();
        let case = format!("{} at {at}", how.word());
        if !reached.ended && reached.acknowledged.is_empty() && reached.refused.is_empty() {
            counters.one("starts_refused_for_want_of_a_disk");
        }
        stage.look(&reached, counters, &case);
    }
    counters.add("refused", refusals as u64);
}

/// A profile to start from, and the sitting to be cut short.
struct Stage<'a> {
    workshop: &'a Workshop,
    shim: Shim,
    acts: Vec<Act>,
    base: PathBuf,
    profile: PathBuf,
}

impl<'a> Stage<'a> {
    fn new(workshop: &'a Workshop, shim: Shim) -> Self {
        let base = workshop.path("stops-base");
        let attachment = workshop.path("attachment");
        if !base.exists() {
            session::base(&base, &attachment);
        }
        Self {
            workshop,
            shim,
            acts: session::acts(&attachment),
            base,
            profile: workshop.path("stops"),
        }
    }

    fn sit(&self, harm: Option<(How, u64)>, counters: &mut Counters) -> Reached {
        put_back(&self.base, &self.profile);
        let mut command = on(&self.profile, &["shell", "--offline"]);
        self.shim.under(&mut command, &self.profile, harm);
        let program = Program::start(command, &self.workshop.path("stops.err"));
        session::sit(program, &self.acts, counters, |_| {})
    }

    /// How many calls the whole sitting makes.
    fn calls(&self, counters: &mut Counters) -> u64 {
        let reached = self.sit(None, counters);
        assert!(
            reached.ended && reached.refused.is_empty(),
            "a sitting that nobody disturbs succeeds"
        );
        assert_eq!(reached.acknowledged.len(), self.acts.len());
        self.look(&reached, counters, "undisturbed");
        self.shim.count()
    }

    fn harmed(&self, how: How, at: u64, counters: &mut Counters) -> Reached {
        self.sit(Some((how, at)), counters)
    }

    fn look(&self, reached: &Reached, counters: &mut Counters, case: &str) {
        let errors = self.workshop.path("stops.err");
        session::look(&self.profile, &errors, &self.acts, reached, counters, case);
    }
}

/// Runs to the end: whether it was a good one, and what was said.
fn end(mut command: Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}
