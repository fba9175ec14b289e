//! Attachments: what can go wrong on the way in and out.

use std::fs;
use std::path::Path;

use crate::world::{World, text};

/// Returns how many files lie in a folder and below.
fn files_in(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { files_in(&path) } else { 1 })
        .sum()
}

#[test]
fn a_file_that_cannot_be_attached_leaves_nothing_behind() {
    let world = World::new();
    let alice = world.person("Alice");
    alice.ok(&["space", "create", "Club", "--offline"]);
    let before = alice.state();
    let path = |name: &str| world.path(name).to_str().unwrap().to_owned();
    let large = fs::File::create(path("large")).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    fs::create_dir(path("folder")).unwrap();
    let mut cases = vec![
        (path("large"), 7, "too large"),
        (path("folder"), 7, "not a file"),
        (path("nowhere"), 7, "No such file"),
    ];
    #[cfg(unix)]
    {
        let made = std::process::Command::new("mkfifo")
            .arg(path("pipe"))
            .status();
        assert!(made.unwrap().success());
        std::os::unix::fs::symlink("nowhere", path("dangling")).unwrap();
        cases.push((path("pipe"), 7, "not a file"));
        cases.push((path("dangling"), 7, "No such file"));
    }
    #[cfg(target_os = "linux")]
    {
        cases.push(("/dev/zero".to_owned(), 7, "not a file"));
        // It says that it is empty, and is not: a file that grows while it is read.
        cases.push(("/proc/cpuinfo".to_owned(), 7, "changed while"));
    }
    for (file, code, why) in &cases {
        let words = ["post", "look", "--attach", file, "--offline"];
        let message = alice.fails(*code, &words);
        assert!(message.contains(why), "{file}: {message}");
    }
    assert_eq!(alice.state(), before);
    assert!(alice.texts("general").is_empty());
    assert_eq!(files_in(&alice.profile.join("chunks")), 0);
}

#[test]
fn a_saved_file_is_the_one_that_was_attached_and_replaces_nothing_unasked() {
    let world = World::new();
    let alice = world.person("Alice");
    alice.ok(&["space", "create", "Club", "--offline"]);
    let path = |name: &str| world.path(name).to_str().unwrap().to_owned();
    let bytes: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(path("rota.pdf"), &bytes).unwrap();
    fs::write(path("empty.txt"), b"").unwrap();
    let (rota, empty) = (path("rota.pdf"), path("empty.txt"));
    let words = [
        "post",
        "two",
        "--attach",
        &rota,
        "--attach",
        &empty,
        "--offline",
    ];
    let op = text(&alice.ok(&words)[0]["op"]);
    let save = ["save", op.as_str(), "--offline"];
    // Two files: which one must be said.
    alice.fails(3, &save);
    alice.fails(3, &[&save[..], &["--file", "3"]].concat());

    fs::create_dir(path("here")).unwrap();
    fs::write(path("here/rota.part"), b"somebody's own").unwrap();
    let to = path("here");
    let first = [&save[..], &["--file", "1", "--to", &to]].concat();
    alice.ok(&first);
    assert_eq!(fs::read(path("here/rota.pdf")).unwrap(), bytes);
    let message = alice.fails(8, &first);
    assert!(message.contains("--force"), "{message}");
    alice.ok(&[&first[..], &["--force"]].concat());
    alice.ok(&[&save[..], &["--file", "empty.txt", "--to", &to]].concat());
    assert_eq!(fs::read(path("here/empty.txt")).unwrap(), b"");
    assert_eq!(fs::read(path("here/rota.part")).unwrap(), b"somebody's own");
    assert_eq!(files_in(&world.path("here")), 3);
    alice.fails(
        8,
        &[&save[..], &["--file", "1", "--to", &path("no/such/folder")]].concat(),
    );
}
