//! Real nodes with real groups and a relay live through a story; every node's dump is judged at
//! every turn of it.

use node::{Answer, ChannelId, ChannelKind, Command, History, InviteLink, OpId, SpaceId, Weight};
use oplog::payload::LatePolicy;

use crate::nodes::World;

const ALICE: usize = 0;
const BOB: usize = 1;
const JOHN: usize = 2;
const MIA: usize = 3;

struct Story {
    world: World,
    space: SpaceId,
}

impl Story {
    fn found() -> Self {
        let mut world = World::new(&["Alice", "Bob", "John", "Mia"]);
        for who in [ALICE, BOB, JOHN, MIA] {
            world.connect(who);
        }
        let name = "Allotment".to_owned();
        let founded = world.command(ALICE, Command::CreateSpace { name }).unwrap();
        let Answer::Space(space) = founded else {
            panic!("{founded:?}")
        };
        Self { world, space }
    }

    fn op(&mut self, who: usize, command: Command) -> OpId {
        match self.world.command(who, command).unwrap() {
            Answer::Op(op) => op,
            other => panic!("{other:?}"),
        }
    }

    fn act(&mut self, who: usize, command: Command) {
        self.world.command(who, command).unwrap();
    }

    fn link(&mut self, who: usize) -> InviteLink {
        let invite = Command::CreateInvite {
            space: self.space,
            weight: Weight::MEMBER,
            max_uses: 10,
            valid_secs: 86_400,
            channel: None,
            approval: false,
        };
        match self.world.command(who, invite).unwrap() {
            Answer::Invite { link, .. } => link,
            other => panic!("{other:?}"),
        }
    }

    fn join(&mut self, who: usize, link: InviteLink) {
        let id = self.world.begin(who, Command::Join { link });
        self.world.settle();
        self.world.pass(20_000);
        self.world.answer(who, id).expect("no answer").unwrap();
    }

    fn user(&self, who: usize) -> node::UserId {
        self.world.people[who].node.me().user
    }

    fn channel(&self, name: &str) -> ChannelId {
        let channels = self.world.people[ALICE].node.channels(self.space).unwrap();
        channels.iter().find(|c| c.name == name).unwrap().id
    }

    fn post(&mut self, who: usize, channel: ChannelId, thread: Option<OpId>, body: &str) -> OpId {
        let command = Command::Post {
            space: self.space,
            channel,
            thread,
            reply_to: None,
            body: body.to_owned(),
            attachments: vec![],
        };
        self.op(who, command)
    }

    fn role(&mut self, whom: usize, weight: Weight) {
        let command = Command::SetRole {
            space: self.space,
            user: self.user(whom),
            weight,
            reason: String::new(),
        };
        self.act(ALICE, command);
    }

    /// What everybody's node says is what the model says.
    fn judged(&self) {
        for person in &self.world.people {
            let Ok(dump) = person.node.dump(self.space) else {
                continue;
            };
            let lines = sim::dump::lines(&dump);
            if let Err(differences) = sim::model::check(lines.iter().map(String::as_str)) {
                let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
                panic!("{}", told.join("\n"));
            }
        }
    }

    fn states(&self, who: usize) -> Vec<String> {
        let dump = self.world.people[who].node.dump(self.space).unwrap();
        let states = dump.ops.iter().map(|op| op.outcome.state.to_owned());
        states.collect()
    }
}

#[test]
fn a_real_space_is_judged_alike_from_founding_to_farewell() {
    let mut story = Story::found();
    story.judged();
    let link = story.link(ALICE);
    story.join(BOB, link.clone());
    story.join(JOHN, link.clone());
    story.judged();
    story.role(BOB, Weight::ADMIN);
    let general = story.channel("general");
    let forum = story.channel("forum");
    let space = story.space;
    let news = Command::CreateChannel {
        space,
        name: "news".into(),
        kind: ChannelKind::Announcement,
        topic: "what happens".into(),
        category: Some("read me".into()),
        history: History::Recent,
    };
    story.world.command(BOB, news).unwrap();
    let thread = Command::CreateThread {
        space,
        channel: forum,
        title: "Compost".into(),
        tags: vec!["soil".into()],
        body: "Where does it go?".into(),
        attachments: vec![],
    };
    let thread = story.op(JOHN, thread);
    story.post(ALICE, forum, Some(thread), "Behind the shed.");
    let seen = story.post(JOHN, general, None, "Hello, \u{1f331}!");
    let (target, body) = (seen, "Hello, all!".to_owned());
    story.act(
        JOHN,
        Command::Edit {
            space,
            target,
            body,
        },
    );
    for (who, add) in [(ALICE, true), (BOB, true), (BOB, false)] {
        let emoji = "\u{1f44d}".to_owned();
        let react = Command::React {
            space,
            target,
            emoji,
            add,
        };
        story.act(who, react);
    }
    let pin = true;
    story.act(BOB, Command::Pin { space, target, pin });
    story.judged();

    // John writes while Bob, who cannot hear him, bans him (cases A and B).
    story.world.disconnect(JOHN);
    story.post(JOHN, general, None, "case B");
    story.world.pass(5_000);
    let ban = Command::Ban {
        space,
        user: story.user(JOHN),
        reason: "a quarrel".into(),
        late: Some(LatePolicy::Quarantine),
        purge: vec![],
    };
    story.act(BOB, ban);
    story.judged();
    story.world.connect(JOHN);
    story.world.pass(20_000);
    story.judged();
    assert!(story.states(ALICE).contains(&"late".to_owned()));

    let reason = "rude".to_owned();
    let (target, restored) = (seen, seen);
    story.act(
        BOB,
        Command::Delete {
            space,
            target,
            reason,
        },
    );
    story.judged();
    assert!(story.states(ALICE).contains(&"hidden".to_owned()));
    let target = restored;
    story.act(ALICE, Command::Restore { space, target });
    let user = story.user(JOHN);
    story.act(BOB, Command::Unban { space, user });
    story.judged();

    // Mia comes, is muted for a while, is demoted as a moderator, and goes.
    story.join(MIA, link);
    story.role(MIA, Weight::MODERATOR);
    story.post(MIA, general, None, "hello");
    story.world.disconnect(MIA);
    story.post(MIA, general, None, "unheard");
    story.role(MIA, Weight::MEMBER);
    let mute = Command::Mute {
        space,
        user: story.user(MIA),
        channel: Some(general),
        for_secs: Some(600),
        reason: String::new(),
    };
    story.act(BOB, mute);
    story.world.pass(1_000);
    story.post(MIA, general, None, "unheard and muted");
    story.world.connect(MIA);
    story.world.pass(20_000);
    story.judged();
    let reason = String::new();
    story.act(MIA, Command::Leave { space, reason });
    story.world.pass(20_000);
    story.judged();
    story.act(
        ALICE,
        Command::SetPolicy {
            space,
            name: Some("Garden".into()),
            kick_late: None,
            ban_late: Some(LatePolicy::Reject),
            seal_every: None,
        },
    );
    story.judged();
}
