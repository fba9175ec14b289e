//! `kill -9` of real processes: whatever they had acknowledged is there when they start again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use net::RelayId;
use net::driver::{Link, LinkCommand, LinkEvent, RelayAddr, RequestId, spawn};
use net::wire::{Cursor, PutRequest, Request, Response};
use oplog::{SecretKey, Tag};
use serde_json::Value;

use crate::program::{Program, bodies, decent, ok, on, rows};
use crate::report::Counters;
use crate::work::{Chance, Workshop, put_back};

/// Spaces of the profile that writes: the pace of a lane (R7) is that of people, and there is one in each.
const SPACES: usize = 4;
/// Kills after which a profile, or a relay, is looked through and another begun: what is read after each
/// kill grows with every life.
const KILLS_A_LIFE: u64 = 40;
/// Longer than any answer takes.
const DEADLINE: Duration = Duration::from_secs(60);
/// Kills after which three begin anew.
const KILLS_A_TRIO: u64 = 25;

/// What somebody wrote in one channel, as far as it is known.
#[derive(Clone, Default)]
pub(crate) struct Written {
    /// These are there.
    acknowledged: Vec<String>,
    /// These may be there or not: whoever wrote them died.
    unsure: BTreeSet<String>,
    count: u64,
}

impl Written {
    /// Returns the next text. Of every length, so that records begin and end anywhere in a sector.
    pub(crate) fn next(&mut self) -> String {
        self.count += 1;
        let n = self.count;
        let body = format!(
            "{n}:{}",
            "text ".repeat(usize::try_from(n * 37 % 160).unwrap())
        );
        let body = body.trim_end().to_owned();
        self.unsure.insert(body.clone());
        body
    }

    /// It is being written.
    pub(crate) fn try_one(&mut self, body: &str) {
        self.unsure.insert(body.to_owned());
    }

    pub(crate) fn acknowledge(&mut self, body: &str) {
        self.unsure.remove(body);
        self.acknowledged.push(body.to_owned());
    }

    /// It was refused, and so must never appear.
    pub(crate) fn refuse(&mut self, body: &str) {
        self.unsure.remove(body);
    }

    /// Compares with what is shown now. What was unsure is certain afterwards.
    pub(crate) fn check(&mut self, shown: &[&str], counters: &mut Counters, case: &str) {
        let seen: BTreeSet<&str> = shown.iter().copied().collect();
        for body in &self.acknowledged {
            if !seen.contains(body.as_str()) {
                counters.bad("lost_ops", format!("{case}: {} is gone", head(body)));
            }
        }
        let known: BTreeSet<&String> = self.acknowledged.iter().chain(&self.unsure).collect();
        for body in &seen {
            if !known.iter().any(|k| k == body) {
                counters.bad("wrong_data", format!("{case}: {} appears", head(body)));
            }
        }
        if seen.len() != shown.len() {
            counters.bad("wrong_data", format!("{case}: something is shown twice"));
        }
        let order: Vec<u64> = shown
            .iter()
            .filter_map(|b| b.split(':').next()?.parse().ok())
            .collect();
        if !order.is_sorted() {
            counters.bad("wrong_data", format!("{case}: out of order: {order:?}"));
        }
        counters.add("ops_checked", self.acknowledged.len() as u64);
        self.acknowledged = shown.iter().map(|body| (*body).to_owned()).collect();
        self.unsure.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.acknowledged.len()
    }
}

fn head(body: &str) -> &str {
    body.split(' ').next().unwrap_or(body)
}

/// Makes a profile with Spaces of its own, which others are copied from.
pub(crate) fn template(at: &Path, spaces: usize) {
    ok(at, &["init", "--name", "Kim"]);
    for n in 0..spaces {
        ok(at, &["space", "create", &format!("S{n}"), "--offline"]);
    }
}

/// One Space of somebody who writes.
#[derive(Clone, Default)]
struct Place {
    posts: Written,
    invites: BTreeSet<String>,
}

pub(crate) fn writer(workshop: &Workshop, kills: u64, counters: &mut Counters) {
    let mut chance = workshop.chance("kill-writer");
    let base = workshop.path("writer-base");
    template(&base, SPACES);
    let profile = workshop.path("writer");
    let errors = workshop.path("writer.err");
    let mut places = Vec::new();
    control(workshop, &base, counters);
    for kill in 0..kills {
        if kill % KILLS_A_LIFE == 0 {
            if counters.is_over() {
                break;
            }
            put_back(&base, &profile);
            places = vec![Place::default(); SPACES];
        }
        let case = format!("kill {kill}");
        let mut program = Program::start(on(&profile, &["shell", "--offline"]), &errors);
        counters.one("starts");
        // One in eight dies while it starts.
        if chance.below(8) == 0 {
            chance.idle();
            chance.idle();
            program.kill(counters);
            counters.one("kills");
            counters.one("kills_while_starting");
            continue;
        }
        if !look(&mut program, &mut places, counters, &case) {
            continue;
        }
        write(&mut program, &mut places, &mut chance, counters);
        chance.idle();
        program.kill(counters);
        counters.one("kills");
        if kill % KILLS_A_LIFE == KILLS_A_LIFE - 1 || kill == kills - 1 {
            let mut program = Program::start(on(&profile, &["shell", "--offline"]), &errors);
            counters.one("starts");
            if look(
                &mut program,
                &mut places,
                counters,
                &format!("after {case}"),
            ) {
                let examined = program.ask("doctor");
                let found = examined.as_ref().map(rows);
                let clean =
                    matches!(&found, Some(Ok(rows)) if rows.iter().all(|r| r["type"] != "finding"));
                if !clean {
                    counters.bad("wrong_data", format!("after {case}: doctor: {examined:?}"));
                }
                counters.one("doctors");
                program.end(counters);
            }
            counters.most(
                "most_posts_in_a_channel",
                places
                    .iter()
                    .map(|p| p.posts.len() as u64)
                    .max()
                    .unwrap_or(0),
            );
        }
    }
}

/// An older copy in the place of what was written: does anybody notice?
fn control(workshop: &Workshop, base: &Path, counters: &mut Counters) {
    let profile = workshop.path("writer");
    put_back(base, &profile);
    let mut places = vec![Place::default(); SPACES];
    let body = places[0].posts.next();
    places[0].posts.acknowledge(&body);
    let found = Counters::quietly(|counters| {
        let mut program = Program::start(
            on(&profile, &["shell", "--offline"]),
            &workshop.path("writer.err"),
        );
        look(&mut program, &mut places, counters, "control");
    });
    if found.get("lost_ops") == 0 {
        counters.bad("harness_failures", "a profile of earlier is not noticed");
    }
    counters.one("controls");
}

/// Reads everything that a program shows and compares; `false` when it did not start.
fn look(program: &mut Program, places: &mut [Place], counters: &mut Counters, case: &str) -> bool {
    for (n, place) in places.iter_mut().enumerate() {
        let read = program.ask(&format!("read general --limit 1000 --space S{n}"));
        let Some(read) = read else {
            counters.bad("failed_starts", format!("{case}: {}", program.said()));
            return false;
        };
        match rows(&read) {
            Ok(rows) => place
                .posts
                .check(&bodies(rows), counters, &format!("{case}, S{n}")),
            Err(error) => counters.bad("failed_starts", format!("{case}: {error}")),
        }
        if !place.invites.is_empty() {
            let listed = program.ask(&format!("invite list --space S{n}"));
            let listed = listed.as_ref().map_or(&[][..], |l| rows(l).unwrap_or(&[]));
            let there: BTreeSet<&str> = listed.iter().filter_map(|r| r["op"].as_str()).collect();
            for invite in &place.invites {
                if !there.contains(invite.as_str()) {
                    counters.bad("lost_ops", format!("{case}: invite {invite} is gone"));
                }
            }
            counters.add("ops_checked", place.invites.len() as u64);
        }
    }
    true
}

/// Says some things and waits until they are acknowledged, then some more without waiting.
fn write(
    program: &mut Program,
    places: &mut [Place],
    chance: &mut Chance,
    counters: &mut Counters,
) {
    let spaces = places.len() as u64;
    for _ in 0..chance.below(8) {
        let n = usize::try_from(chance.below(spaces)).unwrap();
        let place = &mut places[n];
        if chance.below(10) == 0 {
            let Some(answer) = program.ask(&format!("invite create --no-qr --space S{n}")) else {
                return;
            };
            match rows(&answer) {
                Ok(rows) => {
                    place.invites.insert(
                        rows[0]["op"]
                            .as_str()
                            .expect("an invite has an op")
                            .to_owned(),
                    );
                    counters.one("acknowledged");
                }
                Err(error) => refused(&error, counters),
            }
            continue;
        }
        let body = place.posts.next();
        let Some(answer) = program.ask(&format!("post --channel general --space S{n} \"{body}\""))
        else {
            return;
        };
        match rows(&answer) {
            Ok(_) => {
                place.posts.acknowledge(&body);
                counters.one("acknowledged");
            }
            Err(error) => {
                place.posts.refuse(&body);
                refused(&error, counters);
            }
        }
    }
    for _ in 0..=chance.below(4) {
        let n = usize::try_from(chance.below(spaces)).unwrap();
        let body = places[n].posts.next();
        program.tell(&format!("post --channel general --space S{n} \"{body}\""));
    }
}

/// Nobody writes as fast as this lane; being told so is no failure.
fn refused(error: &str, counters: &mut Counters) {
    if error.contains("R7") || error.contains("minute") {
        counters.one("refused_by_pace");
    } else {
        counters.bad("wrong_data", format!("refused: {error}"));
    }
}

// ---- a relay --------------------------------------------------------------

/// Starts a relay, with these variables set; returns it and where it listens.
pub(crate) fn serve(
    data: &Path,
    listen: &str,
    errors: &Path,
    set: &[(&str, &str)],
) -> (Program, Option<String>) {
    let mut command: Command = decent();
    command
        .args([
            "relay",
            "--print-address",
            "--until-eof",
            "--listen",
            listen,
        ])
        .arg("--data")
        .arg(data)
        .envs(set.iter().copied());
    let program = Program::start(command, errors);
    let address = program.line();
    (program, address)
}

/// Somebody who files envelopes and takes them back.
struct Client {
    link: Link,
    relay: RelayId,
    next: u64,
    /// What was answered before anybody waited for it.
    early: BTreeMap<RequestId, Option<Response>>,
}

impl Client {
    async fn connect(address: &str) -> Self {
        let address: RelayAddr = address.parse().unwrap();
        let relay = address.id();
        let mut link = spawn(vec![address]).unwrap();
        while !matches!(
            within(link.events.recv()).await,
            Some(LinkEvent::Connected { .. })
        ) {}
        Self {
            link,
            relay,
            next: 0,
            early: BTreeMap::new(),
        }
    }

    async fn send(&mut self, request: Request) -> RequestId {
        self.next += 1;
        let id = RequestId(self.next);
        let relay = self.relay;
        let command = LinkCommand::Request { relay, id, request };
        self.link.commands.send(command).await.unwrap();
        id
    }

    /// Waits for the answer; `None` when the relay went away first.
    async fn answer(&mut self, wanted: RequestId) -> Option<Response> {
        loop {
            if let Some(answer) = self.early.remove(&wanted) {
                return answer;
            }
            match within(self.link.events.recv()).await? {
                LinkEvent::Response { id, result, .. } => {
                    self.early.insert(id, result.ok());
                }
                LinkEvent::Connected { .. } | LinkEvent::Push { .. } => {}
                LinkEvent::Disconnected { .. } => return None,
            }
        }
    }

    async fn ask(&mut self, request: Request) -> Option<Response> {
        let id = self.send(request).await;
        self.answer(id).await
    }
}

/// Whoever waits longer waits in vain.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("it happens before the deadline")
}

/// What was filed under one tag.
#[derive(Default)]
struct Shelf {
    filed: Vec<(Cursor, u64)>,
    unsure: BTreeSet<u64>,
}

fn envelope(n: u64) -> Vec<u8> {
    let mut bytes = vec![n.to_le_bytes()[0]; 1024];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    bytes
}

fn number(bytes: &[u8]) -> Option<u64> {
    let n = u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
    (bytes == envelope(n)).then_some(n)
}

pub(crate) fn relay(workshop: &Workshop, kills: u64, counters: &mut Counters) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(relay_lives(workshop, kills, counters));
}

async fn relay_lives(workshop: &Workshop, kills: u64, counters: &mut Counters) {
    let mut chance = workshop.chance("kill-relay");
    let data = workshop.path("relay");
    let errors = workshop.path("relay.err");
    let mut shelf = Shelf::default();
    let mut next = 0;
    for kill in 0..kills {
        if kill % KILLS_A_LIFE == 0 {
            if counters.is_over() {
                break;
            }
            workshop.folder("relay");
            shelf = Shelf::default();
        }
        let case = format!("kill {kill}");
        let key = SecretKey::from_seed(&[7; 32]);
        let (program, address) = serve(&data, "/ip4/127.0.0.1/tcp/0", &errors, &[]);
        counters.one("starts");
        let Some(address) = address else {
            counters.bad("failed_starts", format!("{case}: {}", program.said()));
            continue;
        };
        let mut client = Client::connect(&address).await;
        check_shelf(&mut client, &key, &mut shelf, counters, &case).await;
        for _ in 0..chance.below(12) {
            next += 1;
            let put = Request::Put(PutRequest::sign(&key, envelope(next), 3_600));
            match client.ask(put).await {
                Some(Response::Filed { cursor }) => {
                    shelf.filed.push((cursor, next));
                    counters.one("acknowledged");
                }
                other => counters.bad("wrong_data", format!("{case}: put: {other:?}")),
            }
        }
        let mut waiting = Vec::new();
        for _ in 0..chance.below(24) {
            next += 1;
            shelf.unsure.insert(next);
            let put = Request::Put(PutRequest::sign(&key, envelope(next), 3_600));
            waiting.push((client.send(put).await, next));
        }
        // Some of these are answered before it dies.
        for (id, n) in
            waiting.drain(..usize::try_from(chance.below(waiting.len() as u64 + 1)).unwrap())
        {
            if let Some(Response::Filed { cursor }) = client.answer(id).await {
                shelf.unsure.remove(&n);
                shelf.filed.push((cursor, n));
                counters.one("acknowledged");
            }
        }
        chance.idle();
        program.kill(counters);
        counters.one("kills");
    }
}

/// Takes everything that is filed and compares.
async fn check_shelf(
    client: &mut Client,
    key: &SecretKey,
    shelf: &mut Shelf,
    counters: &mut Counters,
    case: &str,
) {
    let tag = Tag::of_key(&key.public());
    let mut after = Cursor::START;
    let mut found = Vec::new();
    loop {
        let fetch = Request::Fetch {
            tag,
            after,
            limit: 256,
        };
        let Some(Response::Page { items, more }) = client.ask(fetch).await else {
            counters.bad("failed_starts", format!("{case}: no page"));
            return;
        };
        for item in &items {
            match number(item.sealed.as_bytes()) {
                Some(n) => found.push((item.cursor, n)),
                None => counters.bad(
                    "wrong_data",
                    format!("{case}: an envelope that nobody filed"),
                ),
            }
        }
        after = items.last().map_or(after, |i| i.cursor);
        if !more {
            break;
        }
    }
    let there: BTreeSet<_> = found.iter().copied().collect();
    for filed in &shelf.filed {
        if !there.contains(filed) {
            counters.bad("lost_ops", format!("{case}: {filed:?} is gone"));
        }
    }
    for (_, n) in &found {
        if !shelf.unsure.contains(n) && !shelf.filed.iter().any(|(_, filed)| filed == n) {
            counters.bad("wrong_data", format!("{case}: {n} was never filed"));
        }
    }
    counters.add("ops_checked", shelf.filed.len() as u64);
    shelf.filed = found;
    shelf.unsure.clear();
}

// ---- three ----------------------------------------------------------------

/// A sender, a receiver and the relay between them.
struct Trio {
    folder: PathBuf,
    relay: Program,
    listen: String,
    sender: Program,
    receiver: Program,
    sent: Written,
    /// What the receiver has shown.
    shown: BTreeSet<String>,
}

impl Trio {
    fn new(folder: PathBuf) -> Self {
        let (relay, address) = serve(
            &folder.join("relay"),
            "/ip4/127.0.0.1/tcp/0",
            &folder.join("relay.err"),
            &[],
        );
        let address = address.expect("a relay tells its address");
        let listen = address
            .split("/p2p/")
            .next()
            .expect("an address")
            .to_owned();
        let (alice, bob) = (folder.join("alice"), folder.join("bob"));
        ok(&alice, &["init", "--name", "Alice"]);
        ok(&alice, &["relays", "add", &address]);
        ok(&alice, &["space", "create", "Club"]);
        ok(&bob, &["init", "--name", "Bob"]);
        let mut sender = shell(&folder, "alice");
        let invite = sender.ask("invite create --no-qr").expect("an answer");
        let link = rows(&invite).expect("an invite")[0]["link"]
            .as_str()
            .expect("a link")
            .to_owned();
        ok(&bob, &["join", &link]);
        let receiver = shell(&folder, "bob");
        Self {
            folder,
            relay,
            listen,
            sender,
            receiver,
            sent: Written::default(),
            shown: BTreeSet::new(),
        }
    }

    /// Reads what the receiver shows; what it has shown once it must show again.
    fn receive(
        &mut self,
        line: &str,
        counters: &mut Counters,
        case: &str,
    ) -> Option<BTreeSet<String>> {
        let Some(answer) = self.receiver.ask(line) else {
            counters.bad("failed_starts", format!("{case}: {}", self.receiver.said()));
            return None;
        };
        self.received(&answer, counters, case)
    }

    fn received(
        &mut self,
        answer: &Value,
        counters: &mut Counters,
        case: &str,
    ) -> Option<BTreeSet<String>> {
        let rows = match rows(answer) {
            Ok(rows) => rows,
            Err(error) => {
                counters.bad("failed_starts", format!("{case}: {error}"));
                return None;
            }
        };
        let there: BTreeSet<String> = bodies(rows).into_iter().map(str::to_owned).collect();
        for body in self.shown.difference(&there) {
            counters.bad(
                "lost_ops",
                format!("{case}: the receiver had shown {}", head(body)),
            );
        }
        for body in &there {
            if !self.sent.acknowledged.contains(body) && !self.sent.unsure.contains(body) {
                counters.bad(
                    "wrong_data",
                    format!("{case}: the receiver shows {}", head(body)),
                );
            }
        }
        counters.add("ops_checked", self.shown.len() as u64);
        self.shown.clone_from(&there);
        Some(there)
    }
}

fn shell(folder: &Path, name: &str) -> Program {
    let command = on(
        &folder.join(name),
        &["shell", "--notices", "--timeout", "5s"],
    );
    Program::start(command, &folder.join(format!("{name}.err")))
}

const READ: &str = "read general --limit 1000";

pub(crate) fn three(workshop: &Workshop, kills: u64, counters: &mut Counters) {
    let mut chance = workshop.chance("kill-three");
    let mut left = kills;
    while left > 0 && !counters.is_over() {
        let mut trio = Trio::new(workshop.folder("trio"));
        for _ in 0..left.min(KILLS_A_TRIO) {
            left -= 1;
            let case = format!("kill {}", kills - left);
            if !kill_one(&mut trio, &mut chance, counters, &case) {
                return;
            }
        }
        if !come_together(&mut trio, counters) {
            return;
        }
    }
}

/// Kills one of three in the middle of what all do, starts it again and looks.
fn kill_one(trio: &mut Trio, chance: &mut Chance, counters: &mut Counters, case: &str) -> bool {
    for _ in 0..chance.below(3) {
        let body = trio.sent.next();
        let Some(answer) = trio
            .sender
            .ask(&format!("post --channel general \"{body}\""))
        else {
            counters.bad("failed_starts", format!("{case}: {}", trio.sender.said()));
            return false;
        };
        match rows(&answer) {
            Ok(_) => {
                trio.sent.acknowledge(&body);
                counters.one("acknowledged");
            }
            Err(error) => {
                trio.sent.refuse(&body);
                refused(&error, counters);
            }
        }
    }
    let body = trio.sent.next();
    let post = trio
        .sender
        .tell(&format!("post --channel general \"{body}\""));
    let read = trio.receiver.tell(READ);
    chance.idle();
    let victim = chance.below(3);
    counters.one("kills");
    counters.one("starts");
    if victim == 2 {
        counters.one("kills_of_the_relay");
        let errors = trio.folder.join("relay.err");
        let data = trio.folder.join("relay");
        let (again, address) = {
            let old = std::mem::replace(
                &mut trio.relay,
                Program::start(Command::new("true"), &errors),
            );
            old.kill(counters);
            serve(&data, &trio.listen, &errors, &[])
        };
        trio.relay = again;
        if address.is_none() {
            counters.bad("failed_starts", format!("{case}: {}", trio.relay.said()));
            return false;
        }
    }
    if victim == 0 {
        counters.one("kills_of_the_sender");
        let old = std::mem::replace(
            &mut trio.sender,
            Program::start(Command::new("true"), &trio.folder.join("none.err")),
        );
        old.kill(counters);
        trio.sender = shell(&trio.folder, "alice");
        // Only what lies on this disk: no relay is asked.
    } else {
        match trio.sender.answer(&post).as_ref().map(rows) {
            Some(Ok(_)) => {
                trio.sent.acknowledge(&body);
                counters.one("acknowledged");
            }
            Some(Err(error)) => {
                trio.sent.refuse(&body);
                refused(&error, counters);
            }
            None => counters.bad("failed_starts", format!("{case}: the sender ended")),
        }
    }
    if victim == 1 {
        counters.one("kills_of_the_receiver");
        let old = std::mem::replace(
            &mut trio.receiver,
            Program::start(Command::new("true"), &trio.folder.join("none.err")),
        );
        for line in old.kill(counters) {
            let said: Value = serde_json::from_str(&line).unwrap_or_default();
            if said["id"] == read {
                trio.received(&said, counters, case);
            }
        }
        trio.receiver = shell(&trio.folder, "bob");
    } else if let Some(answer) = trio.receiver.answer(&read) {
        trio.received(&answer, counters, case);
    } else {
        counters.bad("failed_starts", format!("{case}: the receiver ended"));
        return false;
    }
    let read = trio.sender.ask(READ);
    match read.as_ref().map(rows) {
        Some(Ok(rows)) => trio
            .sent
            .check(&bodies(rows), counters, &format!("{case}, the sender")),
        other => {
            counters.bad(
                "failed_starts",
                format!("{case}: {other:?} {}", trio.sender.said()),
            );
            return false;
        }
    }
    trio.receive(READ, counters, case).is_some()
}

/// All is healed: the receiver gets everything.
fn come_together(trio: &mut Trio, counters: &mut Counters) -> bool {
    for _ in 0..60 {
        trio.sender.ask("sync");
        trio.receiver.ask("sync");
        let Some(there) = trio.receive(READ, counters, "at the end") else {
            return false;
        };
        if there.len() == trio.sent.len() {
            counters.one("came_together");
            return true;
        }
    }
    let missing = trio.sent.len() - trio.shown.len();
    counters.bad(
        "lost_ops",
        format!("{missing} posts never reach the receiver"),
    );
    false
}
