//! One bit flipped, in every file of a profile, again and again: the program starts, shows nothing that
//! nobody wrote, and says what it cannot show.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::program::{Program, bodies, ok, on, rows};
use crate::report::Counters;
use crate::work::{Workshop, copy, files_below};

/// The key of a profile without a passphrase. Nothing opens without it, and the program has to say so: it is
/// for tests and demonstrations alone, and no part of a profile that people use.
const KEY: &str = "insecure-plaintext-key";
/// Large, all alike, and never read: linked instead of copied.
const RESERVE: &str = "reserve.bin";
const POSTS: usize = 40;
const READ: &str = "read general --limit 100 --all --space S0";

pub(crate) fn flips(workshop: &Workshop, a_file: u64, counters: &mut Counters) {
    let mut chance = workshop.chance("flip");
    let base = workshop.path("flip-base");
    let texts = harmless(workshop, &base, counters);
    let profile = workshop.path("flip");
    let mut files: Vec<_> = files_below(&base)
        .into_iter()
        .map(|path| path.strip_prefix(&base).unwrap().to_owned())
        .filter(|path| fs::metadata(base.join(path)).unwrap().len() > 0)
        .collect();
    files.sort();
    counters.most("files", files.len() as u64);
    // A round is one flip in each.
    for round in 0..a_file {
        for path in &files {
            if counters.is_over() {
                return;
            }
            let mut bytes = fs::read(base.join(path)).unwrap();
            // Journals and the vault are mostly zeros that nobody has written.
            let written = bytes.iter().rposition(|b| *b != 0);
            let written = written.map_or(1, |last| last + 1);
            let at = usize::try_from(chance.below(written as u64)).unwrap();
            let bit = chance.below(8);
            bytes[at] ^= 1 << bit;
            clone(&base, &profile);
            fs::remove_file(profile.join(path)).unwrap();
            fs::write(profile.join(path), bytes).unwrap();
            counters.one("flips");
            let case = format!("bit {bit} of byte {at} of {}", path.display());
            let told = look(workshop, &profile, path, &texts, counters, &case);
            counters.one(told);
        }
        counters.most("flips_a_file", round + 1);
    }
}

/// Makes a profile with something in every kind of file: sealed tables and a journal that a killed program
/// left, logs of two Spaces, chunks.
fn harmless(workshop: &Workshop, base: &Path, counters: &mut Counters) -> BTreeSet<String> {
    let attachment = workshop.path("flip-attachment");
    fs::write(&attachment, vec![b'a'; 3_000]).unwrap();
    ok(base, &["init", "--name", "Kim"]);
    for space in ["S0", "S1"] {
        ok(base, &["space", "create", space, "--offline"]);
    }
    let mut texts = BTreeSet::new();
    for half in 0..2 {
        let mut program = Program::start(
            on(base, &["shell", "--offline"]),
            &workshop.path("flip.err"),
        );
        for n in 0..POSTS / 2 {
            let body = format!("{half} {n} {}", "text ".repeat(n * 7 % 50));
            let body = body.trim_end();
            let said = program
                .ask(&format!("post --channel general --space S0 \"{body}\""))
                .expect("an answer");
            rows(&said).expect("it is posted");
            texts.insert(body.to_owned());
        }
        let with = format!(
            "post --channel general --space S1 --attach {} with",
            attachment.display()
        );
        rows(&program.ask(&with).expect("an answer")).expect("it is posted");
        // The first ends and leaves tables; the second dies and leaves a journal.
        if half == 0 {
            program.end(counters);
        } else {
            program.kill(counters);
        }
    }
    texts
}

/// Copies a profile; what nobody writes to is linked.
fn clone(from: &Path, to: &Path) {
    let reserve = from.join(RESERVE);
    let aside = from.with_extension("reserve");
    if reserve.exists() {
        fs::rename(&reserve, &aside).unwrap();
    }
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    copy(from, to);
    if aside.exists() {
        fs::rename(&aside, &reserve).unwrap();
        fs::hard_link(&reserve, to.join(RESERVE)).unwrap();
    }
}

/// Starts the program on a profile with one bit flipped; returns what came of it.
fn look(
    workshop: &Workshop,
    profile: &Path,
    path: &Path,
    texts: &BTreeSet<String>,
    counters: &mut Counters,
    case: &str,
) -> &'static str {
    let mut program = Program::start(
        on(profile, &["shell", "--offline"]),
        &workshop.path("flip.err"),
    );
    counters.one("starts");
    let Some(read) = program.ask(READ) else {
        let status = program.end(counters);
        if path == Path::new(KEY) && status.code() == Some(6) {
            return "refused_for_a_wrong_key";
        }
        counters.bad("failed_starts", format!("{case}: {status}"));
        return "refused";
    };
    let shown = match rows(&read) {
        Ok(rows) => bodies(rows).into_iter().map(str::to_owned).collect(),
        Err(error) => {
            // The Space itself may be what is damaged: then that has to be said.
            if said_so(&mut program).is_none() {
                counters.bad("wrong_data", format!("{case}: not told: {error}"));
            }
            program.end(counters);
            return "space_not_shown_and_told";
        }
    };
    for body in BTreeSet::difference(&shown, texts) {
        // What is lost shows as such, not as a text.
        if !body.is_empty() {
            counters.bad("wrong_data", format!("{case}: shows {body:?}"));
        }
    }
    let missing = texts.difference(&shown).count();
    counters.add("posts_not_shown", missing as u64);
    let told = match (missing, said_so(&mut program)) {
        (0, None) => "all_shown",
        (0, Some(_)) => "all_shown_and_told",
        (_, Some(_)) => "part_shown_and_told",
        (count, None) => {
            counters.bad(
                "lost_ops",
                format!("{case}: {count} posts are gone and nobody says so"),
            );
            "part_shown"
        }
    };
    if program.end(counters).code().is_none() {
        counters.bad(
            "failed_starts",
            format!("{case}: it does not end by itself"),
        );
    }
    told
}

/// Returns what the program says under *Health*, `None` when all is well.
fn said_so(program: &mut Program) -> Option<String> {
    let status = program.ask("status")?;
    let told: BTreeMap<String, usize> = rows(&status)
        .ok()?
        .iter()
        .filter_map(|row| row["type"].as_str())
        .filter(|kind| ["damaged", "mended"].contains(kind))
        .fold(BTreeMap::new(), |mut kinds, kind| {
            *kinds.entry(kind.to_owned()).or_default() += 1;
            kinds
        });
    (!told.is_empty()).then(|| format!("{told:?}"))
}
