//! A machine that goes off at any call while a device commits, follows a commit, sends, or comes in: what the
//! log says and which keys there are fit together afterwards, and everybody comes to agree.

use node::view::Membership;
use node::{Command, InviteLink};
use oplog::{SpaceId, Timestamp};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::everything;
use crate::secrets::{ALICE, BOB, CAROL};
use crate::world::{Machine, START, Sim, World, post};

/// Where every attempt begins: nobody is connected.
struct Stage {
    machines: Vec<Machine>,
    taken: Vec<(Timestamp, net::wire::PutRequest)>,
    now: Timestamp,
    space: SpaceId,
    link: InviteLink,
}

/// What is under way when the machine goes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Alice removes Carol: a commit of her own.
    Commit,
    /// Bob follows it.
    Merge,
    /// Bob says something.
    Send,
    /// Dora comes in.
    Join,
    /// Alice lets her in.
    Admit,
}

const DORA: usize = 3;

impl Doing {
    const ALL: [Self; 5] = [
        Self::Commit,
        Self::Merge,
        Self::Send,
        Self::Join,
        Self::Admit,
    ];

    const fn victim(self) -> usize {
        match self {
            Self::Commit | Self::Admit => ALICE,
            Self::Merge | Self::Send => BOB,
            Self::Join => DORA,
        }
    }
}

fn stage() -> Stage {
    let mut world = World::new(START);
    let mut machines = Vec::new();
    for (n, name) in (0..).zip(["Alice", "Bob", "Carol", "Dora"]) {
        let (machine, profile) = Machine::new(n + 1);
        world.add_new(name, profile);
        machines.push(machine);
    }
    for who in [ALICE, BOB, CAROL] {
        world.connect(who);
    }
    let space = world.found(ALICE);
    for who in [BOB, CAROL] {
        let link = world.invite(ALICE, space);
        world.join(who, link);
    }
    world.post(ALICE, space, "before").unwrap();
    let link = world.invite(ALICE, space);
    world.pass(60_000);
    for (who, machine) in machines.iter().enumerate() {
        world.stop(who);
        machine.disk.kill();
        machine.index.kill();
    }
    Stage {
        taken: std::mem::take(&mut world.taken),
        now: world.now,
        machines,
        space,
        link,
    }
}

/// One attempt; `None` when the machine was still on at the end.
struct Attempt {
    world: World<Sim>,
    machines: Vec<Machine>,
    /// What Bob was told is said.
    said: bool,
}

fn attempt(stage: &Stage, doing: Doing, calls: Option<u64>) -> (Attempt, u64) {
    let mut world = World::new(stage.now.plus_ms(1_000));
    world.refill(&stage.taken);
    let mut machines: Vec<Machine> = stage.machines.iter().map(Machine::copy).collect();
    for machine in &mut machines {
        let node = machine.open(world.now);
        world.add(node);
    }
    for who in [ALICE, BOB] {
        world.connect(who);
    }
    world.pass(2_000);
    if doing == Doing::Join || doing == Doing::Admit {
        world.connect(DORA);
    }
    if doing == Doing::Merge {
        // He hears of it all at once.
        let kick = kick(&world, stage.space);
        let id = world.begin(ALICE, kick);
        world.answer(ALICE, id);
    }
    let victim = doing.victim();
    let disk = machines[victim].disk.clone();
    let before = disk.changes();
    if let Some(calls) = calls {
        disk.die_after(calls);
    }
    let mut said = false;
    match doing {
        Doing::Commit => {
            let kick = kick(&world, stage.space);
            world.begin(ALICE, kick);
        }
        Doing::Merge => {}
        Doing::Send => {
            let channel = world.general(BOB, stage.space);
            let id = world.begin(BOB, post(stage.space, channel, "by Bob"));
            world.settle();
            said = matches!(world.answer(BOB, id), Some(Ok(_)));
        }
        Doing::Join | Doing::Admit => {
            world.begin(
                DORA,
                Command::Join {
                    link: stage.link.clone(),
                },
            );
        }
    }
    world.settle();
    world.pass(30_000);
    let made = disk.changes() - before;
    (
        Attempt {
            world,
            machines,
            said,
        },
        made,
    )
}

fn kick(world: &World<Sim>, space: SpaceId) -> Command {
    Command::Kick {
        space,
        user: world.node(CAROL).me().user,
        reason: String::new(),
        late: None,
        purge: vec![],
    }
}

/// What the log says and which keys are there, on one device right after its start.
fn fits(world: &World<Sim>, who: usize, space: SpaceId, case: &str) {
    let node = world.node(who);
    let Some(summary) = node.spaces().into_iter().find(|s| s.id == space) else {
        // It had not come in yet.
        return;
    };
    let kept = node.peek_kept(&space).unwrap();
    assert_eq!(kept.wrong_roots, [], "{case}: keys that no commit declares");
    if matches!(summary.membership, Membership::Member(_)) {
        assert!(
            kept.roots > 0 && kept.states > 0,
            "{case}: a member without keys of epoch {}: {kept:?}",
            summary.epoch_number
        );
    }
}

/// Goes on after the crash, to the end, and compares everybody.
fn come_together(stage: &Stage, attempt: &mut Attempt, doing: Doing, power: bool, case: &str) {
    let Attempt {
        world,
        machines,
        said,
    } = attempt;
    let victim = doing.victim();
    world.stop(victim);
    let machine = &mut machines[victim];
    if power {
        let mut rng = ChaCha20Rng::seed_from_u64(machine.disk.changes());
        machine.disk.power_cut(&mut rng);
        machine.index.power_cut();
    } else {
        machine.disk.kill();
        machine.index.kill();
    }
    machine.disk.heal();
    let node = machine.open(world.now);
    world.start(victim, node);
    fits(world, victim, stage.space, case);
    if *said {
        let there = world.texts(BOB, stage.space).contains(&"by Bob".to_owned());
        assert!(there, "{case}: what was acknowledged is gone");
    }
    world.connect(victim);
    world.pass(60_000);
    // Whoever was cut short does it again, as a person would.
    match doing {
        Doing::Commit | Doing::Merge => {
            let kick = kick(world, stage.space);
            // It may have happened.
            let _ = world.command(ALICE, kick);
        }
        Doing::Join | Doing::Admit => {
            if world.node(DORA).spaces().is_empty() {
                let link = stage.link.clone();
                let joined = world.command(DORA, Command::Join { link });
                assert!(joined.is_ok(), "{case}: {joined:?}");
            }
        }
        Doing::Send => {}
    }
    world.pass(180_000);
    let mut members = vec![ALICE, BOB];
    if doing == Doing::Join || doing == Doing::Admit {
        members.push(DORA);
    }
    for who in &members {
        let posted = world.post(*who, stage.space, &format!("{who} afterwards"));
        assert!(posted.is_ok(), "{case}: {who} cannot write: {posted:?}");
        world.pass(5_000);
    }
    world.pass(60_000);
    let epoch = |who: usize| {
        let all = world.node(who).spaces();
        all.into_iter()
            .find(|s| s.id == stage.space)
            .map(|s| s.epoch)
    };
    for who in &members {
        fits(world, *who, stage.space, case);
        assert_eq!(
            epoch(*who),
            epoch(ALICE),
            "{case}: {who} is in another epoch than Alice"
        );
        assert_eq!(
            world.node(*who).state_hash(stage.space).unwrap(),
            world.node(ALICE).state_hash(stage.space).unwrap(),
            "{case}: {who} and Alice differ"
        );
        for by in &members {
            let texts = world.texts(*who, stage.space);
            assert!(
                texts.contains(&format!("{by} afterwards")),
                "{case}: {who} cannot read {by}: {texts:?}"
            );
        }
    }
}

/// How many places are tried of each, where not all of them are.
const PLACES: u64 = 4;

#[test]
fn a_machine_that_goes_off_at_any_call_leaves_log_and_keys_that_fit() {
    let all = everything();
    let stage = stage();
    let (mut tried, mut off) = (0, 0);
    for doing in Doing::ALL {
        let (mut undisturbed, calls) = attempt(&stage, doing, None);
        come_together(
            &stage,
            &mut undisturbed,
            doing,
            false,
            &format!("{doing:?}, undisturbed"),
        );
        // To say something is a write and a sync.
        assert!(calls >= 2, "{doing:?} makes only {calls} calls");
        let step = if all { 1 } else { calls.div_ceil(PLACES) };
        for at in (0..=calls).step_by(usize::try_from(step).unwrap()) {
            for power in [false, true] {
                if power && !all && at % 2 == 0 {
                    continue;
                }
                let case =
                    format!("{doing:?}, off after {at} of {calls} calls, power cut: {power}");
                let (mut cut, _) = attempt(&stage, doing, Some(at));
                tried += 1;
                off += u64::from(cut.world.failed.is_some());
                come_together(&stage, &mut cut, doing, power, &case);
            }
        }
    }
    assert!(off * 10 > tried * 6, "only {off} of {tried} went off");
    println!(
        "{tried} kill points of commit, merge, send, join and admit, {off} of them cut something short: 0 divergences"
    );
}
