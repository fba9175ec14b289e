//! Snapshots of what people and programs see.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Look;
use crate::api::{
    Care, DamagedOp, Delivery, Examination, ExaminedSpace, Finding, Membership, OpId, OwnOp, Part,
    PostState, PostView, SpaceId, ThreadSummary, Weight,
};
use crate::error::Code;
use crate::output::{DoctorPage, Done, NewInvite, Output, Page, Sent, StatusPage};
use crate::samples;

fn plain(output: &Output) -> String {
    output.text(Look::PLAIN)
}

/// One row a line; the ids of the samples, one byte over and over, are cut short.
fn json(output: &Output) -> String {
    let rows: Vec<_> = output.rows().iter().map(ToString::to_string).collect();
    let mut text = rows.join("\n");
    for byte in 0..=u8::MAX {
        for length in [32, 16] {
            let whole = format!("\"{}\"", format!("{byte:02x}").repeat(length));
            text = text.replace(&whole, &format!("\"{byte:02x}…\""));
        }
    }
    text
}

fn page(posts: Vec<PostView>, all: bool) -> Output {
    Output::Posts(Page {
        heading: Some("#general".to_owned()),
        posts,
        people: BTreeMap::from([
            (samples::user(1), "Alice".to_owned()),
            (samples::user(2), "Bob".to_owned()),
        ]),
        all,
    })
}

fn timeline() -> Vec<PostView> {
    let op = samples::op;
    let mut rich = samples::post(1, 1, "Good morning @Bob,\nthe kettle is on");
    rich.history = vec!["Good mornin".to_owned()];
    rich.reactions = vec![("👍".to_owned(), vec![samples::user(2), samples::user(3)])];
    rich.mentions = vec![samples::user(2)];
    rich.pinned = true;
    rich.delivery = Some(Delivery::SeenBy(2));
    rich.attachments = vec![samples::attachment("rota\u{202e}.pdf", 12_600)];
    let mut answer = samples::post(2, 2, "On my way");
    answer.reply_to = Some(op(1));
    let mut late = samples::post(3, 3, "from the train");
    late.state = PostState::Late {
        removal: op(9),
        unverified: false,
        quarantined: false,
    };
    let mut kept_back = samples::post(4, 3, "buy now");
    kept_back.state = PostState::Late {
        removal: op(9),
        unverified: true,
        quarantined: true,
    };
    let mut hidden = samples::post(5, 3, "");
    hidden.state = PostState::Hidden {
        by: op(8),
        moderator: samples::user(2),
        reason: "private address".to_owned(),
    };
    let mut refused = samples::post(6, 3, "");
    refused.state = PostState::Refused {
        rule: "D3",
        by: Some(op(9)),
    };
    refused.delivery = Some(Delivery::OnRelay(1));
    vec![rich, answer, late, kept_back, hidden, refused]
}

fn forum(threads: Vec<ThreadSummary>) -> Output {
    let forum = "forum".to_owned();
    Output::Threads { forum, threads }
}

#[test]
fn a_timeline_says_what_became_of_every_post() {
    insta::assert_snapshot!(plain(&page(timeline(), false)), @"
    #general
    2025-11-22 18:01  Alice  01010101  [01010101]  seen by 2
        Good morning @Bob,
        the kettle is on
        edited · pinned · 👍 2 · mentions Bob
        [1] rota�.pdf (12.3 KiB)
    2025-11-22 18:02  Bob  02020202  [02020202]
        On my way
        answers 01010101
    2025-11-22 18:03  John  03030303  [03030303]
        (late: written without having seen the author's removal 09090909)
        from the train
    2025-11-22 18:04  John  03030303  [04040404]
        (late: written without having seen the author's removal 09090909, unverified, quarantined)
        (shown with --all)
    2025-11-22 18:05  John  03030303  [05050505]
        (hidden by Bob: private address)
    2025-11-22 18:06  John  03030303  [06060606]  on relay
        (refused by rule D3 (09090909))
    ");
}

#[test]
fn earlier_texts_and_quarantined_ones_show_when_asked_for() {
    let posts = timeline().into_iter().step_by(3).collect();
    insta::assert_snapshot!(plain(&page(posts, true)), @"
    #general
    2025-11-22 18:01  Alice  01010101  [01010101]  seen by 2
        was: Good mornin
        Good morning @Bob,
        the kettle is on
        edited · pinned · 👍 2 · mentions Bob
        [1] rota�.pdf (12.3 KiB)
    2025-11-22 18:04  John  03030303  [04040404]
        (late: written without having seen the author's removal 09090909, unverified, quarantined)
        buy now
    ");
}

#[test]
fn posts_as_json_keep_their_fields() {
    let mut posts = timeline();
    posts[0].attachments = vec![samples::attachment("rota.pdf", 12_600)];
    let some = [0, 2, 4].map(|at| posts[at].clone()).to_vec();
    insta::assert_snapshot!(json(&page(some, false)), @r#"
    {"attachments":[{"manifest":"b1…","media_type":"application/pdf","name":"rota.pdf","size":12600}],"author":"01…","author_name":"Alice","body":"Good morning @Bob,\nthe kettle is on","channel":"c1…","delivery":"seen","delivery_count":2,"device":"d1…","history":["Good mornin"],"hlc":"7575611321257820160","id":"01…","mentions":["02…"],"pinned":true,"reactions":[{"by":["02…","03…"],"emoji":"👍"}],"reply_to":null,"state":"normal","thread":null,"title":null,"type":"post","wall_ms":1763834460000}
    {"attachments":[],"author":"03…","author_name":"John","body":"from the train","channel":"c1…","delivery":null,"delivery_count":null,"device":"d3…","history":[],"hlc":"7575611836653895680","id":"03…","mentions":[],"pinned":false,"quarantined":false,"reactions":[],"reply_to":null,"state":"late","state_by":"09…","thread":null,"title":null,"type":"post","unverified":false,"wall_ms":1763834580000}
    {"attachments":[],"author":"03…","author_name":"John","body":"","channel":"c1…","delivery":null,"delivery_count":null,"device":"d3…","history":[],"hlc":"7575612352049971200","id":"05…","mentions":[],"moderator":"02…","pinned":false,"reactions":[],"reason":"private address","reply_to":null,"state":"hidden","state_by":"08…","thread":null,"title":null,"type":"post","wall_ms":1763834700000}
    "#);
}

#[test]
fn an_empty_channel_says_so() {
    insta::assert_snapshot!(plain(&page(Vec::new(), false)), @"
    #general
      nothing here yet
    ");
}

#[test]
fn what_was_written_says_how_far_it_got() {
    let done = |sent| {
        Output::Done(Done {
            command: "post",
            said: "posted 01010101".to_owned(),
            space: Some(samples::space(1)),
            channel: None,
            op: Some(samples::op(1)),
            sent: Some(sent),
        })
    };
    let all: String = [
        Sent::Reached(Delivery::SeenBy(1)),
        Sent::OnRelay,
        Sent::Later,
        Sent::Offline,
        Sent::NoRelay,
    ]
    .map(|sent| plain(&done(sent)))
    .concat();
    insta::assert_snapshot!(all, @"
    posted 01010101 · seen by 1
    posted 01010101 · on relay
    posted 01010101 · saved; will be sent when a relay is reachable
    posted 01010101 · saved; will be sent when you are online
    posted 01010101 · saved; will be sent when there is a relay: `decent relays add`
    ");
    insta::assert_snapshot!(json(&done(Sent::Later)), @r#"{"channel":null,"command":"post","op":"01…","said":"posted 01010101","sent":"saved","space":"01…","type":"done"}"#);
}

#[test]
fn lists_line_up() {
    let mut gone = samples::summary(2, "Choir");
    gone.membership = Membership::Removed(samples::op(9));
    let mut waiting = samples::summary(3, "Chess");
    waiting.membership = Membership::Waiting(Weight::MEMBER);
    let spaces = vec![samples::summary(1, "Allotment"), gone, waiting];
    let joins = samples::joins();
    insta::assert_snapshot!(plain(&Output::Spaces { spaces: spaces.clone(), joins: joins.clone() }), @"
    01010101  Allotment  owner                                     3 members  1 channel  epoch 4
    02020202  Choir      removed by 09090909                       3 members  1 channel  epoch 4
    03030303  Chess      member, waiting to be let into the group  3 members  1 channel  epoch 4
    04040404  Band    waiting to be let in                              since 2025-11-22 18:05
    05050505  Bakers  asking to join, on no relay yet                   since 2025-11-22 18:05
    06060606  Bees    not let in: the invite is used up                 since 2025-11-22 18:05
    07070707  Bikes   this clock is behind: let in at 2025-11-22 18:09  since 2025-11-22 18:05
    ");
    insta::assert_snapshot!(json(&Output::Spaces { spaces, joins }), @r#"
    {"channels":1,"epoch":"e1…","epoch_number":4,"id":"01…","members":3,"name":"Allotment","removal":null,"standing":"member","type":"space","weight":100}
    {"channels":1,"epoch":"e1…","epoch_number":4,"id":"02…","members":3,"name":"Choir","removal":"09…","standing":"removed","type":"space","weight":null}
    {"channels":1,"epoch":"e1…","epoch_number":4,"id":"03…","members":3,"name":"Chess","removal":null,"standing":"waiting","type":"space","weight":10}
    {"asked_ms":1763834700000,"early_until_ms":null,"failed":null,"name":"Band","relays":1,"space":"04…","type":"join"}
    {"asked_ms":1763834700000,"early_until_ms":null,"failed":null,"name":"Bakers","relays":0,"space":"05…","type":"join"}
    {"asked_ms":1763834700000,"early_until_ms":null,"failed":"the invite is used up","name":"Bees","relays":1,"space":"06…","type":"join"}
    {"asked_ms":1763834700000,"early_until_ms":1763834940000,"failed":null,"name":"Bikes","relays":1,"space":"07…","type":"join"}
    "#);
    insta::assert_snapshot!(plain(&Output::Channels(samples::channels())), @"
    01010101  general  chat
    02020202  forum    forum
    03030303  old      announcement  Past · What was · archived
    ");
    insta::assert_snapshot!(plain(&Output::Members(samples::members())), @"
    01010101  Alice  owner      1 device  since 2025-11-22 18:01
    02020202  Bob    moderator  1 device  since 2025-11-22 18:02  muted until 2025-11-22 18:30 (07070707)
    03030303  John   former               since 2025-11-22 18:03  banned (09090909)
    ");
    insta::assert_snapshot!(json(&Output::Members(samples::members())), @r#"
    {"banned":null,"devices":["d1…"],"joined_ms":1763834460000,"muted":null,"muted_until_ms":null,"name":"Alice","namesakes":[],"removed":null,"role":"owner","type":"member","user":"01…","weight":100}
    {"banned":null,"devices":["d2…"],"joined_ms":1763834520000,"muted":"07…","muted_until_ms":1763836200000,"name":"Bob","namesakes":[],"removed":null,"role":"moderator","type":"member","user":"02…","weight":20}
    {"banned":"09…","devices":[],"joined_ms":1763834580000,"muted":null,"muted_until_ms":null,"name":"John","namesakes":[],"removed":"09…","role":null,"type":"member","user":"03…","weight":null}
    "#);
    insta::assert_snapshot!(plain(&forum(samples::threads())), @"
    #forum
    01010101  2025-11-22 18:11  Watering rota  by Alice  1 reply    rota, water
    02020202  2025-11-22 18:12  Cheap watches  by Bob    0 replies  deleted by its author
    ");
    insta::assert_snapshot!(json(&forum(samples::threads())), @r#"
    {"author":"01…","author_name":"Alice","created_ms":1763834460000,"id":"01…","last_activity_ms":1763835060000,"replies":1,"state":"normal","tags":["rota","water"],"title":"Watering rota","type":"thread"}
    {"author":"02…","author_name":"Bob","created_ms":1763834520000,"id":"02…","last_activity_ms":1763835120000,"replies":0,"state":"deleted","state_by":"08…","tags":[],"title":"Cheap watches","type":"thread"}
    "#);
}

#[test]
fn what_the_doctor_found_says_who_cares_for_it() {
    let finding = |part, space, what: &str, care| Finding::new(part, space, what.to_owned(), care);
    let space = samples::space(1);
    let page = |findings, recovered| {
        Output::Doctor(Box::new(DoctorPage {
            examination: Examination {
                rows: 97,
                spaces: vec![ExaminedSpace {
                    id: space,
                    name: "Allotment".to_owned(),
                    records: 18,
                    ops: 18,
                }],
                chunks: 1,
                log_bytes: 18_369,
                index_bytes: 25_347,
                free_bytes: Some(12 << 30),
                findings,
            },
            recovered,
        }))
    };
    let well = page(Vec::new(), Vec::new());
    assert_eq!(well.code(), None);
    insta::assert_snapshot!(plain(&well), @"
    Looked at
      Allotment    18 ops with signature and rows, 18 records of the log, keys
      index        97 rows
      attachments  1 chunk
      disk         log 17.94 KiB, index 24.75 KiB; 12.00 GiB free
    All is well.
    ");
    let mended = finding(Part::Ops, Some(space), "2 ops came again", Care::Mended);
    let again = page(
        vec![mended.clone()],
        vec!["the index was made again".to_owned()],
    );
    assert_eq!(again.code(), None);
    assert!(plain(&again).ends_with("All is well again.\n"));
    let ill = page(
        vec![
            finding(Part::Folder, None, "others can look into it", Care::Yours),
            finding(Part::Keys, Some(space), "it asks for keys", Care::Awaited),
            mended,
        ],
        Vec::new(),
    );
    assert_eq!(ill.code(), Some(Code::Profile));
    insta::assert_snapshot!(plain(&ill), @"
    Looked at
      Allotment    18 ops with signature and rows, 18 records of the log, keys
      index        97 rows
      attachments  1 chunk
      disk         log 17.94 KiB, index 24.75 KiB; 12.00 GiB free
    Found
      takes you     folder: others can look into it
      takes others  Allotment, keys: it asks for keys
      mended        Allotment, ops: 2 ops came again
    Some of it takes you: see above.
    ");
    insta::assert_snapshot!(json(&ill), @r#"
    {"chunks":1,"free_bytes":12884901888,"index_bytes":25347,"log_bytes":18369,"rows":97,"type":"examined"}
    {"name":"Allotment","ops":18,"records":18,"space":"01…","type":"examined-space"}
    {"care":"yours","part":"folder","space":null,"type":"finding","what":"others can look into it"}
    {"care":"awaited","part":"keys","space":"01…","type":"finding","what":"it asks for keys"}
    {"care":"mended","part":"ops","space":"01…","type":"finding","what":"2 ops came again"}
    "#);
}

#[test]
fn the_health_report_names_what_needs_attention() {
    let space = samples::space(1);
    let own = |n, delivery| OwnOp {
        op: samples::op(n),
        kind: "Post",
        wall: samples::at(u64::from(n)),
        delivery,
        resent: n == 2,
    };
    let output = Output::Status(Box::new(StatusPage {
        status: samples::status(),
        own: BTreeMap::from([(
            space,
            vec![
                own(3, Delivery::Saved),
                own(2, Delivery::OnRelay(2)),
                own(1, Delivery::SeenBy(2)),
            ],
        )]),
        damaged: BTreeMap::from([(
            space,
            vec![DamagedOp {
                op: samples::op(4),
                device: samples::status().me.device,
                scope: node::Scope::Control,
                seq: 7,
            }],
        )]),
    }));
    insta::assert_snapshot!(plain(&output), @"
    Alice  did:key:z6MkAlice
    device d1d1d1d1
    Relays
      connected      /ip4/192.0.2.7/tcp/4001/p2p/12D3KooWA
      not connected  /ip4/192.0.2.8/tcp/4001/p2p/12D3KooWB  connection refused
    Spaces
      Allotment  01010101  owner · 3 members · 1 channel · epoch 4
        34 control ops · state 5a5a5a5a
        sealed up to epoch 3 by Bob, 2025-11-22 18:30 (07070707), 1 removal closed; by itself every 16 commits
        3 own ops not on any relay yet
        1 op waiting for others
        2 ops damaged on this disk, asked for again
        2 envelopes waiting for a key
        1 device to bring into or out of the group
        goes on with keys that are not on this device: it asks the members for them
        uses a feature that this version does not know: update needed
        your ban of John does not count (rule A9): Alice took the right away
          `decent reapply 0b0b0b0b` does it again
        damaged on this disk, 1 op:
          0404040404040404040404040404040404040404040404040404040404040404
        what you wrote, newest first:
          03030303  2025-11-22 18:03  Post  saved
          02020202  2025-11-22 18:02  Post  on 2 relays  sent again: keys had forked
          01010101  2025-11-22 18:01  Post  seen by 2
      04040404  Band    waiting to be let in                              since 2025-11-22 18:05
      05050505  Bakers  asking to join, on no relay yet                   since 2025-11-22 18:05
      06060606  Bees    not let in: the invite is used up                 since 2025-11-22 18:05
      07070707  Bikes   this clock is behind: let in at 2025-11-22 18:09  since 2025-11-22 18:05
    Mended
      the last segment ended in half an op; cut off
    ");
    insta::assert_snapshot!(json(&output), @r#"
    {"device":"d1…","did":"did:key:z6MkAlice","name":"Alice","type":"me","user":"01…"}
    {"address":"/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWA","connected":true,"error":null,"type":"relay"}
    {"address":"/ip4/192.0.2.8/tcp/4001/p2p/12D3KooWB","connected":false,"error":"connection refused","type":"relay"}
    {"behind":true,"channels":1,"closed":1,"control_ops":34,"epoch":"e1…","epoch_number":4,"forks":["e2…"],"held":1,"id":"01…","lost":2,"members":3,"name":"Allotment","queued":3,"reconcile":1,"removal":null,"seal":"07…","seal_every":16,"sealed_number":3,"standing":"member","state_hash":"5a…","type":"space-status","unopened":2,"update_needed":true,"weight":100}
    {"delivery":"saved","delivery_count":0,"kind":"Post","op":"03…","resent":false,"space":"01…","type":"own-op","wall_ms":1763834580000}
    {"delivery":"on-relay","delivery_count":2,"kind":"Post","op":"02…","resent":true,"space":"01…","type":"own-op","wall_ms":1763834520000}
    {"delivery":"seen","delivery_count":2,"kind":"Post","op":"01…","resent":false,"space":"01…","type":"own-op","wall_ms":1763834460000}
    {"about":"John","kind":"ban","op":"0b…","rule":"A9","space":"01…","type":"voided","why":"Alice took the right away"}
    {"channel":null,"device":"d1…","op":"04…","plane":"control","seq":7,"space":"01…","type":"damaged"}
    {"asked_ms":1763834700000,"early_until_ms":null,"failed":null,"name":"Band","relays":1,"space":"04…","type":"join"}
    {"asked_ms":1763834700000,"early_until_ms":null,"failed":null,"name":"Bakers","relays":0,"space":"05…","type":"join"}
    {"asked_ms":1763834700000,"early_until_ms":null,"failed":"the invite is used up","name":"Bees","relays":1,"space":"06…","type":"join"}
    {"asked_ms":1763834700000,"early_until_ms":1763834940000,"failed":null,"name":"Bikes","relays":1,"space":"07…","type":"join"}
    {"type":"mended","what":"the last segment ended in half an op; cut off"}
    "#);
}

#[test]
fn an_invite_shows_its_link_and_its_limits() {
    let mut invite = NewInvite {
        link: samples::link(),
        op: samples::op(5),
        valid_secs: 7 * 86_400,
        max_uses: 1,
        approval: true,
        qr: false,
        sent: Sent::OnRelay,
    };
    insta::assert_snapshot!(plain(&Output::Invite(Box::new(invite.clone()))), @"
    decent://join/uyafqiabaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeavqiafaucqkbifaucqkbifaucqkbifaucqkbifaucqkbifaucqkbifaubfqiagaydambqgaydambqgaydambqgaydambqgaydambqgaydambqgaybyc6bff5uxanbpge4telrqfyzc4nzporrxalzugaydcl3qgjyc6mjsiqzuw33pk5aqi2kbnrwg65dnmvxhibi2z4oxeni
    invite 05050505 · valid for 7d · for one person · each must be approved · on relay
    ");
    invite.qr = true;
    let with_code = plain(&Output::Invite(Box::new(invite)));
    assert!(with_code.contains('█') && with_code.contains("decent://join/"));
}

#[test]
fn the_rest_in_one_line_each() {
    let outputs = [
        Output::Synced {
            received: 3,
            sent: 1,
            relays: 1,
            came_in: Vec::new(),
            waiting: Vec::new(),
        },
        Output::Imported {
            space: SpaceId::from_bytes([1; 32]),
            new: 10,
            known: 2,
            unreadable: 1,
            waiting: 3,
            refused: vec![(OpId::from_bytes([4; 32]), "R4".to_owned())],
        },
        Output::File {
            what: "attachment",
            path: PathBuf::from("/tmp/rota.pdf"),
            bytes: 1_234,
            left_out: None,
        },
        Output::File {
            what: "export",
            path: PathBuf::from("/tmp/club"),
            bytes: 1_234,
            left_out: Some(2),
        },
        Output::Requests(Vec::new()),
        Output::Invites(Vec::new()),
        Output::Relays(Vec::new()),
        forum(Vec::new()),
        Output::Spaces {
            spaces: Vec::new(),
            joins: Vec::new(),
        },
        Output::Me(samples::me()),
    ];
    let all: String = outputs.iter().map(plain).collect();
    insta::assert_snapshot!(all, @"
    in step with 1 relay: 3 received, 1 sent
    01010101: 10 new, 2 known, 1 refused
      1 in it cannot be read: it is damaged
      3 build on something that is not here and were left out; import again once it is
      04040404  R4
    attachment saved to /tmp/rota.pdf (1.2 KiB)
    export saved to /tmp/club (1.2 KiB)
    2 ops are damaged on this disk and not in it: `decent status` names them
    nobody is waiting to be let in
    no open invites: `decent invite create`
    none yet: `decent relays add ADDR`
    no threads in #forum yet: `decent thread new TITLE`
    no Spaces yet: `decent space create NAME` or `decent join LINK`
    name       Alice
    identity   did:key:z6MkAlice
    user id    0101010101010101010101010101010101010101010101010101010101010101
    device id  d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1
    ");
}
