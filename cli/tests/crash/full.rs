//! A disk that is really full: a small file system in memory, filled up to 4 KiB by 4 KiB before its edge
//! while the program runs. Refused is refused, acknowledged is there, and once there is room it goes on
//! without a restart.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kills::{Written, template};
use crate::program::{Program, bodies, on, rows};
use crate::report::Counters;
use crate::work::{Chance, Workshop, copy};

/// Room for a profile, and so much more that the program has no cause to look how full the disk is: it shall
/// run into the edge, and not stop before it.
const DISK_MIB: u64 = 300;
/// The disk is filled in pieces of this, or less.
const PIECE_BYTES: u64 = 1 << 20;
const STEP_BYTES: u64 = 4096;
/// Steps before the edge that are tried; then they come again with other writes.
const STEPS: u64 = 64;
const SPACES: usize = 4;
/// Writes of one run before the disk is filled for good.
const WRITES_MAX: u64 = 120;

pub(crate) fn full(workshop: &Workshop, points: u64, counters: &mut Counters) {
    let mut chance = workshop.chance("full");
    let base = workshop.path("full-base");
    template(&base, SPACES);
    for point in 0..points {
        if counters.is_over() {
            break;
        }
        let Some(mut disk) = SmallDisk::mount(workshop, counters) else {
            return;
        };
        copy(&base, &disk.profile);
        let program = disk.fill_up(point % STEPS, &mut chance, counters);
        fs::remove_file(&disk.filler).unwrap();
        disk.goes_on(program, counters);
        counters.one("disk_full_points");
    }
}

struct SmallDisk {
    at: PathBuf,
    profile: PathBuf,
    filler: PathBuf,
    errors: PathBuf,
    places: Vec<Written>,
    case: String,
}

impl SmallDisk {
    /// Mounts one; `None`, and said plainly, where this user may not.
    fn mount(workshop: &Workshop, counters: &mut Counters) -> Option<Self> {
        let at = workshop.folder("disk");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={DISK_MIB}m"), "tmpfs"])
            .arg(&at)
            .output();
        match mounted {
            Ok(output) if output.status.success() => {}
            other => {
                counters.skip(format!("no small disk can be mounted here: {other:?}"));
                return None;
            }
        }
        Some(Self {
            profile: at.join("profile"),
            filler: at.join("filler"),
            errors: workshop.path("full.err"),
            at,
            places: vec![Written::default(); SPACES],
            case: String::new(),
        })
    }

    /// Starts with room, fills the disk up to so many steps before its edge, and writes until it is refused;
    /// then fills what the reserve has given back, and writes on.
    fn fill_up(&mut self, steps: u64, chance: &mut Chance, counters: &mut Counters) -> Program {
        self.case = format!("{steps} steps before the edge");
        let mut program = Program::start(on(&self.profile, &["shell", "--offline"]), &self.errors);
        counters.one("starts");
        self.read(&mut program, counters);
        for _ in 0..chance.below(3) {
            self.write(&mut program, chance, counters);
        }
        self.fill(steps * STEP_BYTES);
        for _ in 0..WRITES_MAX {
            if !self.write(&mut program, chance, counters) {
                break;
            }
        }
        // The reserve was let go: somebody else takes that too.
        self.fill(chance.below(8) * STEP_BYTES);
        let mut refused = 0;
        for _ in 0..24 {
            refused += u64::from(!self.write(&mut program, chance, counters));
        }
        if refused == 0 {
            counters.one("never_refused");
        }
        self.read(&mut program, counters);
        program
    }

    /// Leaves so many bytes free.
    fn fill(&self, leave: u64) {
        let file = File::options()
            .create(true)
            .append(false)
            .truncate(false)
            .write(true)
            .open(&self.filler)
            .unwrap();
        let mut len = file.metadata().unwrap().len();
        let free = free_bytes(&self.at);
        let end = len + free.saturating_sub(leave);
        let piece = vec![1; usize::try_from(PIECE_BYTES).unwrap()];
        while len < end {
            let n = (end - len).min(PIECE_BYTES);
            if file
                .write_all_at(&piece[..usize::try_from(n).unwrap()], len)
                .is_err()
            {
                break;
            }
            len += n;
        }
    }

    /// Says something; returns whether it was taken.
    fn write(
        &mut self,
        program: &mut Program,
        chance: &mut Chance,
        counters: &mut Counters,
    ) -> bool {
        let n = usize::try_from(chance.below(SPACES as u64)).unwrap();
        let place = &mut self.places[n];
        let body = place.next();
        let long = format!(
            "{body}{}",
            ".".repeat(usize::try_from(chance.below(4) * 900).unwrap())
        );
        place.refuse(&body);
        place.try_one(&long);
        let Some(answer) = program.ask(&format!("post --channel general --space S{n} \"{long}\""))
        else {
            counters.bad(
                "failed_starts",
                format!("{}: it ended: {}", self.case, program.said()),
            );
            return false;
        };
        match rows(&answer) {
            Ok(_) => {
                place.acknowledge(&long);
                counters.one("acknowledged");
                true
            }
            Err(error) => {
                let plain =
                    error.contains("full") || error.contains("disk") || error.contains("room");
                if !plain {
                    counters.bad("wrong_data", format!("{}: refused: {error}", self.case));
                }
                // What was refused is not there; where that is not certain, the answer says so.
                if error.contains("may") {
                    counters.one("unsure");
                } else {
                    place.refuse(&long);
                }
                counters.one("refused");
                false
            }
        }
    }

    fn read(&mut self, program: &mut Program, counters: &mut Counters) {
        for (n, place) in self.places.iter_mut().enumerate() {
            let read = program.ask(&format!("read general --limit 1000 --space S{n}"));
            match read.as_ref().map(rows) {
                Some(Ok(rows)) => place.check(&bodies(rows), counters, &self.case),
                other => counters.bad("failed_starts", format!("{}: {other:?}", self.case)),
            }
        }
    }

    /// There is room: the program goes on without being started again, and has everything when it is.
    fn goes_on(&mut self, mut program: Program, counters: &mut Counters) {
        const AGAIN: &str = "1000000:again";
        let answer = program.ask(&format!("post --channel general --space S0 \"{AGAIN}\""));
        match answer.as_ref().map(rows) {
            Some(Ok(_)) => {
                self.places[0].acknowledge(AGAIN);
                counters.one("resumed_without_restart");
            }
            other => counters.bad(
                "failed_starts",
                format!("{}: it does not go on: {other:?}", self.case),
            ),
        }
        self.read(&mut program, counters);
        program.end(counters);
        let mut program = Program::start(on(&self.profile, &["shell", "--offline"]), &self.errors);
        counters.one("starts");
        self.read(&mut program, counters);
        program.end(counters);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let gone = Command::new("umount").arg(&self.at).status();
        if !gone.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.at.display());
        }
    }
}

fn free_bytes(at: &Path) -> u64 {
    let stat = rustix::fs::statvfs(at).unwrap();
    stat.f_bavail * stat.f_frsize
}
