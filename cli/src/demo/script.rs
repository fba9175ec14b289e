//! The story as data: who does what, and what everybody sees then.
//!
//! `{name}` in a line or a check stands for something kept earlier; `{dir}` is the
//! demo's folder, `{relay}` the relay's address. Texts are the timeline's words.

use Step::{Answers, Chapter, Does, Fails, Hears, Latency, Offline, Online, Sees, Show, With};
use Who::{Alice, Bob, John};

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// Founds the Space.
    Alice,
    /// Becomes an admin.
    Bob,
    /// Is removed, and comes back.
    John,
}

impl Who {
    /// Everybody.
    pub(super) const ALL: [Self; 3] = [Alice, Bob, John];

    /// Returns the name they go by.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Alice => "Alice",
            Bob => "Bob",
            John => "John",
        }
    }
}

/// Fields that a row must have: name and value, both as text.
pub(super) type Fields = &'static [(&'static str, &'static str)];

/// What the rows of an answer must show.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rows {
    /// Some row has all of the first fields, and that row has the others too.
    Has(Fields, Fields),
    /// No row has all of these fields.
    Lacks(Fields),
}

/// One step of the story.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A heading.
    Chapter(&'static str),
    /// Somebody does something that must succeed. Fields of its first row are kept: name, JSON pointer.
    Does(Who, &'static str, &'static str, Fields),
    /// Somebody tries something that must end with this code.
    Fails(Who, &'static str, &'static str, u8),
    /// These people see something, at once or soon.
    Sees(&'static [Who], &'static str, &'static str, Rows),
    /// Somebody asks something whose answer must show it at once.
    Answers(Who, &'static str, &'static str, Rows),
    /// These people's nodes tell something by themselves.
    Hears(&'static [Who], &'static str, Fields),
    /// Somebody loses the network: the process ends, and starts again without one.
    Offline(Who, &'static str),
    /// Somebody is back on the network.
    Online(Who, &'static str),
    /// How long a post of one takes until the other has it.
    Latency(Who, Who),
    /// What these people see in a channel, side by side.
    Show(&'static [Who], &'static str),
    /// Two files have the same bytes.
    SameFile(&'static str, &'static str, &'static str),
    /// A program without a profile does this, with these words.
    Outsider(&'static str, &'static [&'static str]),
    /// Steps that need a command which this build may lack; what is left out is said.
    With(&'static str, &'static [Self]),
    /// The three have the same state, bit for bit.
    SameState,
}

/// The story of `docs/protocol.md` B0.
pub(super) const STORY: &[Step] = &[
    Chapter("A Space, and people who join it"),
    Does(Alice, "knows a relay", "relays add {relay}", &[]),
    Does(
        Alice,
        "founds the Space \"Allotment\"",
        "space create Allotment",
        &[("space", "/space")],
    ),
    Does(
        Alice,
        "opens an invite for two",
        "invite create --max-uses 2 --expires 1h --no-qr",
        &[("link", "/link")],
    ),
    Does(Bob, "joins with the link", "join {link}", &[]),
    Sees(
        &[Alice, Bob],
        "Bob is a member",
        "members",
        Rows::Has(&[("name", "Bob")], &[("role", "member")]),
    ),
    Does(Alice, "makes Bob an admin", "role Bob admin", &[]),
    Sees(
        &[Bob],
        "he is an admin",
        "members",
        Rows::Has(&[("name", "Bob")], &[("role", "admin")]),
    ),
    Offline(Alice, "goes to bed; her device is off the network"),
    Does(
        John,
        "joins with the same link while Alice is away: Bob's device lets him in",
        "join {link}",
        &[],
    ),
    Online(Alice, "is back"),
    Sees(
        &[Alice, Bob, John],
        "John is a member",
        "members",
        Rows::Has(&[("name", "John")], &[("role", "member")]),
    ),
    Chapter("Talking"),
    Does(
        John,
        "opens a topic in the forum",
        "thread new 'Watering rota' 'Who waters on **Sunday**?' --tag rota",
        &[("rota", "/op")],
    ),
    Sees(
        &[Alice, Bob],
        "the topic is there",
        "thread list",
        Rows::Has(
            &[("id", "{rota}")],
            &[("title", "Watering rota"), ("state", "normal")],
        ),
    ),
    Does(
        Bob,
        "answers in the topic",
        "post --thread {rota} --reply-to {rota} 'I do'",
        &[("sunday", "/op")],
    ),
    Sees(
        &[Alice, John],
        "Bob's answer stands in the topic",
        "read --thread {rota}",
        Rows::Has(
            &[("id", "{sunday}")],
            &[("body", "I do"), ("reply_to", "{rota}")],
        ),
    ),
    Does(
        Alice,
        "says good morning in the chat",
        "post --channel general 'Good mornin'",
        &[("hello", "/op")],
    ),
    Sees(
        &[Bob, John],
        "Alice's words",
        "read general",
        Rows::Has(
            &[("id", "{hello}")],
            &[("body", "Good mornin"), ("state", "normal")],
        ),
    ),
    Does(John, "reacts", "react {hello} 👍", &[]),
    Does(
        Alice,
        "corrects herself",
        "edit {hello} 'Good morning'",
        &[],
    ),
    Sees(
        &[Alice, Bob, John],
        "the corrected text with John's reaction",
        "read general",
        Rows::Has(
            &[("id", "{hello}")],
            &[
                ("body", "Good morning"),
                ("/reactions/0/emoji", "👍"),
                ("/history/0", "Good mornin"),
            ],
        ),
    ),
    Latency(Alice, Bob),
    Chapter("Offline, and a file"),
    Offline(John, "is on a train without network"),
    Does(
        John,
        "writes all the same",
        "post --channel general 'Greetings from the train'",
        &[("train", "/op")],
    ),
    Answers(
        John,
        "his words are saved, on no relay yet",
        "read general",
        Rows::Has(&[("id", "{train}")], &[("delivery", "saved")]),
    ),
    Online(John, "has network again"),
    Sees(
        &[Alice, Bob],
        "John's words from the train",
        "read general",
        Rows::Has(
            &[("id", "{train}")],
            &[("state", "normal"), ("author_name", "John")],
        ),
    ),
    Sees(
        &[John],
        "that others have seen them",
        "read general",
        Rows::Has(&[("id", "{train}")], &[("delivery", "seen")]),
    ),
    Does(
        Alice,
        "attaches a file",
        "post --channel general --attach \"{dir}/rota.txt\" 'The rota'",
        &[("file", "/op")],
    ),
    Sees(
        &[Bob],
        "the post with its file",
        "read general",
        Rows::Has(&[("id", "{file}")], &[("/attachments/0/name", "rota.txt")]),
    ),
    Does(
        Bob,
        "saves the file",
        "save {file} --to \"{dir}/rota-from-bob.txt\"",
        &[],
    ),
    Step::SameFile(
        "Bob's copy has the same bytes",
        "{dir}/rota.txt",
        "{dir}/rota-from-bob.txt",
    ),
    Chapter("Case A and B: John posts while Bob removes him"),
    Does(
        John,
        "posts, and Bob sees it",
        "post --channel general 'case A: before'",
        &[("a", "/op")],
    ),
    Sees(
        &[Bob, Alice],
        "the post",
        "read general",
        Rows::Has(&[("id", "{a}")], &[("state", "normal")]),
    ),
    Offline(John, "loses the network"),
    Does(
        John,
        "posts without network; he cannot know what Bob does",
        "post --channel general 'case B: meanwhile'",
        &[("b", "/op")],
    ),
    Does(
        Bob,
        "bans John without having seen that",
        "ban John --late accept --reason 'a quarrel'",
        &[("ban", "/op")],
    ),
    Sees(
        &[Alice, Bob],
        "John is banned",
        "members",
        Rows::Has(
            &[("name", "John")],
            &[("banned", "{ban}"), ("role", "null")],
        ),
    ),
    Online(
        John,
        "has network again; his post goes out, the ban comes in",
    ),
    Sees(
        &[John],
        "he is out",
        "space list",
        Rows::Has(
            &[("id", "{space}")],
            &[("standing", "removed"), ("removal", "{ban}")],
        ),
    ),
    Sees(
        &[Alice, Bob],
        "case A: seen before the ban, so it stands as any other",
        "read general",
        Rows::Has(&[("id", "{a}")], &[("state", "normal")]),
    ),
    Sees(
        &[Alice, Bob, John],
        "case B: written without having seen the ban, so it is kept and flagged as late",
        "read general",
        Rows::Has(
            &[("id", "{b}")],
            &[("state", "late"), ("state_by", "{ban}")],
        ),
    ),
    Show(&[Alice, Bob, John], "read general"),
    Chapter("Case C: John goes on, knowing of the ban"),
    Fails(
        John,
        "tries to post; his own program refuses",
        "post --channel general 'case C: after'",
        4,
    ),
    With(
        "rogue-post",
        &[
            Does(
                John,
                "posts with a rogue program that breaks the rules",
                "rogue-post --channel general 'case C: after'",
                &[("c", "/op")],
            ),
            Hears(
                &[Alice, Bob],
                "the post is refused, with the rule",
                &[("notice", "refused"), ("op", "{c}")],
            ),
            Sees(
                &[Alice, Bob],
                "nothing of it",
                "read general",
                Rows::Lacks(&[("id", "{c}"), ("state", "normal")]),
            ),
            Sees(
                &[Alice, Bob],
                "the op with its rule in the audit, for anybody to judge",
                "audit dump",
                Rows::Has(
                    &[("type", "dump-refused"), ("op", "{c}")],
                    &[("rule", "R4")],
                ),
            ),
        ],
    ),
    Chapter("A tombstone, and a proof for outsiders"),
    Does(
        Bob,
        "hides John's first post",
        "delete {a} --reason 'names a neighbour'",
        &[("grave", "/op")],
    ),
    Sees(
        &[Alice, Bob],
        "who hid it and why, and no text",
        "read general",
        Rows::Has(
            &[("id", "{a}")],
            &[
                ("state", "hidden"),
                ("state_by", "{grave}"),
                ("reason", "names a neighbour"),
                ("body", ""),
            ],
        ),
    ),
    With(
        "audit",
        &[
            Does(
                Alice,
                "writes a proof of what became of John's late post",
                "audit prove {b} --to \"{dir}/proof.decent\"",
                &[],
            ),
            Step::Outsider(
                "a fourth program without any profile checks the proof",
                &["audit", "verify", "{dir}/proof.decent"],
            ),
        ],
    ),
    Chapter("John comes back"),
    Does(Bob, "lifts the ban", "unban John", &[]),
    Sees(
        &[Alice],
        "the ban is lifted",
        "members",
        Rows::Has(&[("name", "John")], &[("banned", "null")]),
    ),
    Does(
        Alice,
        "opens an invite for one",
        "invite create --max-uses 1 --expires 1h --no-qr",
        &[("again", "/link")],
    ),
    Does(John, "joins again", "join {again}", &[]),
    Does(
        John,
        "posts from the later epoch",
        "post --channel general 'I am back'",
        &[("back", "/op")],
    ),
    Sees(
        &[Alice, Bob, John],
        "John's new post, like any other",
        "read general",
        Rows::Has(
            &[("id", "{back}")],
            &[("state", "normal"), ("author_name", "John")],
        ),
    ),
    Sees(
        &[Alice, Bob],
        "the old outcomes stand",
        "read general",
        Rows::Has(&[("id", "{b}")], &[("state", "late")]),
    ),
    Show(&[Alice, Bob, John], "read general"),
    Chapter("The same for everyone"),
    Step::SameState,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::args::Line;
    use crate::demo::check::{expand, names_in};
    use crate::words;

    /// Goes through the story as `play` does, with made-up values for what is kept.
    fn walk(steps: &[Step], known: &mut BTreeSet<String>) {
        let line = |text: &str, known: &BTreeSet<String>| {
            let values = known.iter().map(|n| (n.clone(), "ab".repeat(32))).collect();
            let line = expand(text, &values).unwrap();
            let words = words::split(&line).unwrap();
            if let Err(error) = Line::try_parse_from(&words) {
                panic!("{text}: {error}");
            }
        };
        let fields = |fields: Fields, known: &BTreeSet<String>| {
            for (_, value) in fields {
                for name in names_in(value) {
                    assert!(known.contains(&name), "{value}: nothing is kept as {name}");
                }
            }
        };
        for step in steps {
            match step {
                Does(_, _, text, keep) => {
                    line(text, known);
                    known.extend(keep.iter().map(|(name, _)| (*name).to_owned()));
                }
                Fails(_, _, text, _) | Show(_, text) => line(text, known),
                Sees(_, _, text, rows) | Answers(_, _, text, rows) => {
                    line(text, known);
                    match rows {
                        Rows::Has(find, has) => {
                            fields(find, known);
                            fields(has, known);
                        }
                        Rows::Lacks(find) => fields(find, known),
                    }
                }
                Hears(_, _, has) => fields(has, known),
                With(command, inner) => {
                    if Line::command().find_subcommand(command).is_some() {
                        walk(inner, known);
                    }
                }
                Chapter(_) | Offline(..) | Online(..) | Latency(..) | Step::SameState => {}
                Step::SameFile(..) | Step::Outsider(..) => {}
            }
        }
    }

    #[test]
    fn every_line_of_the_story_parses_and_names_only_what_is_kept() {
        let mut known = BTreeSet::from(["dir".to_owned(), "relay".to_owned()]);
        walk(STORY, &mut known);
        assert!(known.contains("back"));
    }
}
