//! Names that turn the text around them, hide in it, or look like another's.

use oplog::payload::{ChannelCreate, ChannelKind, History, PolicySet, ThreadCreate, Weight};
use oplog::testing::{Device, TestSpace};
use oplog::{Payload, SignedOp};

use node::Command;

use crate::stage::Victim;
use crate::table::Table;

/// Everything that says in which direction text runs.
const TURNS: [char; 12] = [
    '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

/// What of other people's text is shown without it.
pub fn turned(table: &mut Table) {
    for turn in TURNS {
        let evil = |what: &str| format!("{what}{turn}nimda");
        let mut space = TestSpace::found(51);
        let owner = space.founder();
        let person: Device = space.person(&evil("person")).device(0);
        space.add(&owner, &[(&person, Weight::MEMBER)]);
        space.commit(&owner, &[&person], &[]).sign();
        let policy = Payload::PolicySet(PolicySet {
            name: Some(evil("space")),
            ..PolicySet::default()
        });
        space.op(&owner, policy).sign();
        let channel = Payload::ChannelCreate(ChannelCreate {
            name: evil("channel"),
            kind: ChannelKind::Forum,
            topic: evil("topic"),
            category: Some(evil("category")),
            history: History::Recent,
            private: false,
        });
        let op = space.op(&owner, channel).sign();
        let forum = oplog::ChannelId::of_create(&op.id());
        let thread = Payload::ThreadCreate(ThreadCreate {
            title: evil("title"),
            tags: vec![evil("tag")],
            body: evil("body"),
            attachments: vec![],
            mentions: vec![],
        });
        space.op(&person, thread).channel(forum).sign();
        let mut victim = Victim::new(81, space.now.plus_ms(86_400_000));
        let bundle = node::export_of(space.id(), space.ops().iter().map(SignedOp::encode));
        victim.command(Command::Import { bundle }).unwrap();
        let id = space.id();
        let members = victim.node.members(id).unwrap();
        let channels = victim.node.channels(id).unwrap();
        let threads = victim.node.threads(id, forum, 10).unwrap();
        let named = |name: &str| {
            members
                .iter()
                .map(|m| m.name.clone())
                .find(|n| n.starts_with(name))
        };
        let channel = channels.iter().find(|c| c.id == forum).unwrap();
        let thread = &threads[0];
        for (what, shown) in [
            ("person", named("person").unwrap()),
            ("space", victim.node.spaces()[0].name.clone()),
            ("channel", channel.name.clone()),
            ("topic", channel.topic.clone()),
            ("category", channel.category.clone().unwrap()),
            ("title", thread.title.clone()),
            ("tag", thread.tags[0].clone()),
        ] {
            let name = format!("U+{:04X} in a {what}", u32::from(turn));
            table.case(&name, "made harmless");
            table.run(&name, "shown text", &shown, &format!("{what}\u{fffd}nimda"));
        }
    }
}

/// Two names, and whether people must be told that they look alike.
const PAIRS: [(&str, &str, bool); 62] = [
    ("Admin", "Admin", true),
    ("Admin", "admin", true),
    ("Admin", "\u{410}dmin", true),
    ("admin", "\u{430}dmin", true),
    ("admin", "adm\u{456}n", true),
    ("admin", "adm\u{131}n", true),
    ("admin", "\u{251}dmin", true),
    ("Alice", "Al\u{456}ce", true),
    ("Alice", "Alic\u{435}", true),
    ("Alice", "Ali\u{441}e", true),
    ("Alice", "\u{391}lice", true),
    ("Alice", "AIice", true),
    ("Alice", "A1ice", true),
    ("Alice", "A|ice", true),
    ("Alice", "\u{1d400}lice", true),
    ("Alice", "\u{1d434}lice", true),
    ("Alice", "\u{ff21}\u{ff4c}\u{ff49}\u{ff43}\u{ff45}", true),
    ("Alice", "\u{13aa}lice", true),
    ("Bob", "\u{412}ob", true),
    ("Bob", "\u{392}ob", true),
    ("Bob", "B\u{43e}b", true),
    ("Bob", "B\u{3bf}b", true),
    ("Bob", "B0b", false),
    ("BOB", "B0B", true),
    ("Bob", "B\u{585}b", true),
    ("Bob", "\u{1d539}\u{1d560}\u{1d553}", true),
    ("Bob", "\u{1d401}\u{1d428}\u{1d41b}", true),
    ("Bob", "B o b", true),
    ("Bob", "Bo\u{a0}b", true),
    ("Tom", "To\u{72}\u{6e}", true),
    ("modern", "rnodern", true),
    ("Clara", "Ciara", false),
    ("paul", "\u{440}aul", true),
    ("paul", "p\u{430}ul", true),
    ("xavier", "\u{445}avier", true),
    ("yan", "\u{443}an", true),
    ("jan", "\u{458}an", true),
    ("sam", "\u{455}am", true),
    ("hans", "\u{4bb}ans", true),
    ("nina", "\u{578}ina", true),
    ("victor", "\u{3bd}ictor", true),
    ("kate", "\u{212a}ate", true),
    ("ohm", "\u{3bf}hm", true),
    ("caf\u{e9}", "cafe\u{301}", true),
    ("\u{c5}sa", "A\u{30a}sa", true),
    ("\u{fb01}nn", "finn", true),
    ("XIV", "\u{2169}\u{2160}\u{2164}", true),
    ("l0l", "lOl", true),
    ("ILL", "lll", false),
    ("Alice", "Alicia", false),
    ("Alice", "Bob", false),
    ("Bob", "Rob", false),
    ("Ana", "Anna", false),
    ("Jos\u{e9}", "Jose", false),
    ("M\u{fc}ller", "Muller", false),
    (
        "\u{418}\u{432}\u{430}\u{43d}",
        "\u{410}\u{43d}\u{43d}\u{430}",
        false,
    ),
    ("\u{5f20}\u{4f1f}", "\u{738b}\u{82b3}", false),
    (
        "\u{645}\u{62d}\u{645}\u{62f}",
        "\u{623}\u{62d}\u{645}\u{62f}",
        false,
    ),
    ("\u{5d3}\u{5d5}\u{5d3}", "\u{5de}\u{5e9}\u{5d4}", false),
    ("Kim", "Tim", false),
    ("x", "y", false),
    ("\u{1f600}", "\u{1f680}", false),
];

/// Members who look alike are told apart.
pub fn alike(table: &mut Table) {
    for (n, (a, b, must)) in PAIRS.into_iter().enumerate() {
        let mut space = TestSpace::found(60 + n as u64);
        let owner = space.founder();
        // People of one name are others, so the second has another seed.
        let first = space.person(a).device(0);
        let second = oplog::testing::Person::new(999, b).device(0);
        space.add(
            &owner,
            &[(&first, Weight::MEMBER), (&second, Weight::MEMBER)],
        );
        let mut victim = Victim::new(82, space.now.plus_ms(86_400_000));
        let bundle = node::export_of(space.id(), space.ops().iter().map(SignedOp::encode));
        victim.command(Command::Import { bundle }).unwrap();
        let members = victim.node.members(space.id()).unwrap();
        let of = |who: &Device| members.iter().find(|m| m.user == who.user()).unwrap();
        let name = format!("{a:?} beside {b:?}");
        table.case(&name, if must { "told" } else { "left alone" });
        let told = (
            of(&first).namesakes == [second.user()],
            of(&second).namesakes == [first.user()],
        );
        table.run(&name, "list of members", &told, &(must, must));
        table.check(
            &name,
            "the owner looks like nobody",
            of(&owner).namesakes.is_empty(),
        );
    }
}
