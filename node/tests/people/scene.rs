//! Where most stories begin: a Space with three people in it, all online.

use crate::world::World;
use node::{Answer, Command, InviteLink};
use oplog::payload::Weight;
use oplog::{ChannelId, OpId, SpaceId};

pub const ALICE: usize = 0;
pub const BOB: usize = 1;
pub const JOHN: usize = 2;

/// A Space of three: Alice founded it, Bob is an admin, John a member.
pub struct Scene {
    pub world: World,
    pub space: SpaceId,
    pub general: ChannelId,
    pub forum: ChannelId,
}

/// Opens an invite for ten members.
pub fn invite(world: &mut World, who: usize, space: SpaceId) -> InviteLink {
    let command = Command::CreateInvite {
        space,
        weight: Weight::MEMBER,
        max_uses: 10,
        valid_secs: 86_400,
        channel: None,
        approval: false,
    };
    match world.command(who, command).unwrap() {
        Answer::Invite { link, .. } => link,
        other => panic!("{other:?}"),
    }
}

/// Joins by a link; somebody must be online to admit.
pub fn join(world: &mut World, who: usize, link: InviteLink) {
    let space = link.space;
    let id = world.begin(who, Command::Join { link });
    world.settle();
    world.pass(20_000);
    assert_eq!(
        world.answer(who, id).expect("no answer").unwrap(),
        Answer::Joined { space }
    );
}

/// Alice founds, Bob and John join.
pub fn scene() -> Scene {
    let mut scene = Scene::found(World::new(&["Alice", "Bob", "John"]), &[BOB, JOHN]);
    scene.make_admin(BOB);
    scene
}

impl Scene {
    /// Alice founds a Space, and these join. All of them are online.
    pub fn found(mut world: World, members: &[usize]) -> Self {
        world.connect(ALICE);
        let name = "Allotment".to_owned();
        let founded = world.command(ALICE, Command::CreateSpace { name });
        let Answer::Space(space) = founded.unwrap() else {
            panic!("no Space");
        };
        for who in members {
            world.connect(*who);
        }
        if !members.is_empty() {
            let link = invite(&mut world, ALICE, space);
            for who in members {
                join(&mut world, *who, link.clone());
            }
        }
        let channels = world.people[ALICE].node.channels(space).unwrap();
        let find = |name: &str| channels.iter().find(|c| c.name == name).unwrap().id;
        let (general, forum) = (find("general"), find("forum"));
        Self {
            world,
            space,
            general,
            forum,
        }
    }

    pub fn make_admin(&mut self, who: usize) {
        let role = Command::SetRole {
            space: self.space,
            user: self.world.people[who].node.me().user,
            weight: Weight::ADMIN,
            reason: String::new(),
        };
        self.world.command(ALICE, role).unwrap();
    }

    pub fn post(&mut self, who: usize, body: &str) -> OpId {
        let command = Command::Post {
            space: self.space,
            channel: self.general,
            thread: None,
            reply_to: None,
            body: body.into(),
            attachments: vec![],
        };
        match self.world.command(who, command).unwrap() {
            Answer::Op(op) => op,
            other => panic!("{other:?}"),
        }
    }

    pub fn texts(&self, who: usize) -> Vec<String> {
        let posts = self.world.people[who]
            .node
            .posts(self.space, self.general, None, 100)
            .unwrap();
        posts.into_iter().map(|p| p.body).collect()
    }

    pub fn assert_converged(&self, who: &[usize]) {
        let hashes: Vec<_> = who
            .iter()
            .map(|w| self.world.people[*w].node.state_hash(self.space).unwrap())
            .collect();
        assert!(
            hashes.windows(2).all(|pair| pair[0] == pair[1]),
            "{hashes:?}"
        );
    }
}

/// The op that a command wrote.
pub fn op(answer: Answer) -> OpId {
    match answer {
        Answer::Op(op) => op,
        other => panic!("{other:?}"),
    }
}
