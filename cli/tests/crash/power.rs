//! Power cuts under the real program: what the shim wrote down is played on a disk in memory, which then
//! keeps any subset of the sectors and names that were not synced; what is left is put on the real disk
//! for the plain program to start on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use store::{Disk, DiskFile, MemDisk, MemFile};

use crate::program::{Program, on};
use crate::report::Counters;
use crate::session::{self, Act, Reached};
use crate::shim::{How, Shim};
use crate::work::{Chance, Workshop, files_below, folders_below, put_back};

/// Power cuts after any call, in as many states as wanted. A quarter of the sittings have a sync that fails
/// before, each in turn, and what it should have made certain stays in doubt for good.
pub(crate) fn cuts(workshop: &Workshop, states: u64, counters: &mut Counters) {
    let Some(shim) = Shim::build(workshop, counters) else {
        return;
    };
    let mut chance = workshop.chance("power");
    let base = workshop.path("power-base");
    let attachment = workshop.path("attachment");
    session::base(&base, &attachment);
    let acts = session::acts(&attachment);
    let mut sittings = 0;
    let mut syncs = 0;
    while counters.get("crash_states") < states && !counters.is_over() {
        let fails = (sittings % 4 == 3).then_some((sittings / 4) % syncs.max(1));
        let harm = fails.map(|sync| (How::Sync, sync));
        let recorded = record(workshop, &shim, &base, &acts, harm, counters);
        sittings += 1;
        if syncs == 0 {
            // One that counts syncs, so that each of them can fail.
            record(
                workshop,
                &shim,
                &base,
                &acts,
                Some((How::Sync, u64::MAX)),
                counters,
            );
            syncs = shim.count();
        }
        counters.one("sittings");
        counters.most("calls_in_a_sitting", recorded.calls.len() as u64);
        // Few states are spread over a sitting; of many every call has one, once in a few sittings.
        let spread = recorded.calls.len() as u64 / states;
        let stride = (1 + chance.below(4)).max(spread);
        if sittings == 1 {
            control(workshop, &base, &acts, &recorded, counters);
        }
        let mut played = Played::new(&base, &recorded.inodes);
        for (n, call) in recorded.calls.iter().enumerate() {
            if played.moves_a_folder(call) {
                // An index is dropped, and a disk in memory moves no folders.
                counters.one("sittings_until_a_new_index");
                break;
            }
            played.call(call);
            if !(n as u64 + chance.below(stride)).is_multiple_of(stride) {
                continue;
            }
            let reached = recorded.reached(call.end);
            let last = n + 1 == recorded.calls.len();
            for _ in 0..=u64::from(last) * 3 {
                if counters.get("crash_states") >= states || counters.is_over() {
                    break;
                }
                let failed = fails.map_or_else(String::new, |sync| format!(", sync {sync} fails"));
                let case = format!("sitting {sittings}{failed}, power cut after call {n}");
                cut(
                    workshop,
                    &played,
                    &acts,
                    &reached,
                    &mut chance,
                    counters,
                    &case,
                );
            }
        }
    }
}

/// One state that a power cut leaves, and the program on it.
fn cut(
    workshop: &Workshop,
    played: &Played,
    acts: &[Act],
    reached: &Reached,
    chance: &mut Chance,
    counters: &mut Counters,
    case: &str,
) {
    let disk = played.disk.copy();
    counters.add("unsynced_sectors_and_names", disk.unsynced_count() as u64);
    match chance.below(8) {
        // The two ends of it, and anything between.
        0 => disk.power_cut_keeping(&mut |_| false),
        1 => disk.power_cut_keeping(&mut |_| true),
        _ => disk.power_cut(&mut ChaCha20Rng::seed_from_u64(chance.next())),
    }
    let profile = workshop.folder("power");
    let files = disk.files();
    for folder in &played.folders {
        // A file can be made where there is a folder, and nowhere else.
        if folder.is_empty() || disk.create(&format!("{folder}/probe")).is_ok() {
            fs::create_dir_all(profile.join(folder)).unwrap();
        }
    }
    for (path, content) in files {
        fs::write(profile.join(path), content).unwrap();
    }
    counters.one("crash_states");
    session::look(
        &profile,
        &workshop.path("power.err"),
        acts,
        reached,
        counters,
        case,
    );
}

/// The same with a disk that forgets all that was written: does anybody notice?
fn control(
    workshop: &Workshop,
    base: &Path,
    acts: &[Act],
    recorded: &Recorded,
    counters: &mut Counters,
) {
    let profile = workshop.path("power");
    put_back(base, &profile);
    let all = recorded.reached(usize::MAX);
    let found = Counters::quietly(|counters| {
        session::look(
            &profile,
            &workshop.path("power.err"),
            acts,
            &all,
            counters,
            "control",
        );
    });
    if found.get("lost_ops") == 0 {
        counters.bad(
            "harness_failures",
            "a disk that forgets everything is not noticed",
        );
    }
    counters.one("controls");
}

/// One call as the shim wrote it down.
struct Call {
    what: u8,
    inode: u64,
    at: u64,
    name: String,
    to: String,
    bytes: Vec<u8>,
    /// Where it ends in the trace.
    end: usize,
}

struct Recorded {
    calls: Vec<Call>,
    /// The files of the profile before the sitting, by number.
    inodes: BTreeMap<u64, PathBuf>,
    /// How long the trace was when each answer came, and what was acknowledged by then.
    answers: Vec<(usize, Reached)>,
}

impl Recorded {
    /// What was acknowledged before the trace was so long.
    fn reached(&self, end: usize) -> Reached {
        let before = self.answers.iter().rev().find(|(at, _)| *at <= end);
        before.map_or_else(Reached::default, |(_, reached)| reached.clone())
    }
}

fn record(
    workshop: &Workshop,
    shim: &Shim,
    base: &Path,
    acts: &[Act],
    harm: Option<(How, u64)>,
    counters: &mut Counters,
) -> Recorded {
    let profile = workshop.path("power-recorded");
    put_back(base, &profile);
    let inode = |path: &PathBuf| fs::metadata(path).unwrap().ino();
    let all = files_below(&profile)
        .into_iter()
        .chain(folders_below(&profile));
    let inodes = all
        .map(|path| {
            (
                inode(&path),
                path.strip_prefix(&profile).unwrap().to_owned(),
            )
        })
        .collect();
    let mut command = on(&profile, &["shell", "--offline"]);
    shim.under(&mut command, &profile, harm);
    shim.tracing(&mut command);
    let program = Program::start(command, &workshop.path("power.err"));
    let mut answers = Vec::new();
    session::sit(program, acts, counters, |reached| {
        let len = fs::metadata(&shim.trace).unwrap().len();
        answers.push((usize::try_from(len).unwrap(), reached.clone()));
    });
    Recorded {
        calls: calls(&fs::read(&shim.trace).unwrap()),
        inodes,
        answers,
    }
}

/// Reads a trace: the counterpart of `note` in `shim.c`.
fn calls(trace: &[u8]) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut at = 0;
    let word = |at: usize| u64::from_ne_bytes(trace[at..at + 8].try_into().unwrap());
    let half = |at: usize| {
        usize::try_from(u32::from_ne_bytes(trace[at..at + 4].try_into().unwrap())).unwrap()
    };
    while at < trace.len() {
        let len = usize::try_from(word(at + 25)).unwrap();
        let (name, to) = (half(at + 33), half(at + 37));
        let text =
            |from: usize, len: usize| String::from_utf8(trace[from..from + len].to_vec()).unwrap();
        let body = at + 41;
        let end = body + name + to + len;
        calls.push(Call {
            what: trace[at],
            inode: word(at + 1),
            at: word(at + 9),
            name: text(body, name),
            to: text(body + name, to),
            bytes: trace[body + name + to..end].to_vec(),
            end,
        });
        at = end;
    }
    calls
}

/// A disk in memory on which the calls are made again.
struct Played {
    disk: MemDisk,
    files: BTreeMap<u64, MemFile>,
    /// Every folder that ever was.
    folders: BTreeSet<String>,
}

impl Played {
    fn new(base: &Path, inodes: &BTreeMap<u64, PathBuf>) -> Self {
        let disk = MemDisk::new();
        let mut files = BTreeMap::new();
        let mut folders = BTreeSet::from([String::new()]);
        let mut paths: Vec<(&PathBuf, u64)> =
            inodes.iter().map(|(inode, path)| (path, *inode)).collect();
        paths.sort();
        for (path, inode) in paths {
            let name = path.to_str().unwrap();
            let full = base.join(path);
            if full.is_dir() {
                if !name.is_empty() {
                    disk.create_dir(name).unwrap();
                }
                folders.insert(name.to_owned());
            } else {
                let file = disk.create(name).unwrap();
                file.write_at(0, &fs::read(full).unwrap()).unwrap();
                file.sync().unwrap();
                files.insert(inode, file);
            }
        }
        for folder in &folders {
            disk.sync_dir(folder).unwrap();
        }
        assert_eq!(
            disk.unsynced_count(),
            0,
            "before the sitting all is certain"
        );
        Self {
            disk,
            files,
            folders,
        }
    }

    fn moves_a_folder(&self, call: &Call) -> bool {
        call.what == b'r' && !self.files.contains_key(&call.inode)
    }

    fn call(&mut self, call: &Call) {
        let disk = &self.disk;
        match call.what {
            b'c' => {
                self.files
                    .insert(call.inode, disk.create(&call.name).unwrap());
            }
            b'd' => {
                disk.create_dir(&call.name).unwrap();
                self.folders.insert(call.name.clone());
            }
            b'w' => self.files[&call.inode]
                .write_at(call.at, &call.bytes)
                .unwrap(),
            b't' => self.files[&call.inode].set_len(call.at).unwrap(),
            b'r' => disk.rename(&call.name, &call.to).unwrap(),
            b'u' => disk.remove(&call.name).unwrap(),
            b's' | b'e' => {
                if call.what == b'e' {
                    disk.fail_sync(0);
                }
                let synced = match self.files.get(&call.inode) {
                    Some(file) => file.sync(),
                    None => disk.sync_dir(&call.name),
                };
                assert_eq!(synced.is_err(), call.what == b'e');
                disk.heal();
            }
            other => panic!("a call of no kind: {other}"),
        }
    }
}
