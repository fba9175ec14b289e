//! People at their windows: the real app over real nodes, a relay between them, no screen.
//!
//! Everything is found by its name for those who do not see, so these tests show too that it has one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that cannot go on should stop"
)]

mod desk;

use std::fs;

use desk::{Desk, Relay};
use egui::Key;
use egui::accesskit::Role;

#[test]
fn somebody_new_makes_an_identity_a_space_and_says_hello() {
    let mut ann = Desk::new("Ann", &[]);
    ann.click("Get started");
    ann.write("Your name", "Ann");
    ann.click("Create my identity");
    ann.wait_for("Your recovery phrase");
    let words = ann.words();
    assert_eq!(words.len(), 24);
    ann.click("I have written them down");
    // A wrong word leads back to the words.
    for at in ann.asked() {
        ann.write(&format!("Word {at}"), "wrong");
    }
    ann.click("Finish");
    ann.wait_for("That was another word. Look at them once more, then try again.");
    ann.click("I have written them down");
    for at in ann.asked() {
        ann.write(&format!("Word {at}"), &words[at - 1]);
    }
    ann.click("Finish");
    ann.wait_for("Nothing here yet");
    ann.make_space("Allotment");
    ann.wait_for("Channel general");
    ann.click("Channel general");
    ann.say("general", "Good **morning**");
    ann.wait_for_text("morning");
    // A banner says that nobody else hears it.
    assert!(ann.sees("You use no relay. What you write stays on this device until you add one."));
    ann.wait_for("Saved on this device. No relay has it yet.");
}

#[test]
fn a_topic_is_opened_answered_and_found_again_with_the_keyboard() {
    let mut ann = Desk::ready("Ann", &[]);
    ann.make_space("Allotment");
    ann.wait_for("Channel forum");
    ann.click("Channel forum");
    ann.click("Write the first topic");
    ann.write("Title", "Which tomatoes?");
    ann.write("Text", "For *shade*, please");
    ann.write("Tags", "beds");
    ann.click("Post topic");
    ann.wait_for_text("shade");
    ann.say_in("Reply in this topic", "Black ones");
    ann.wait_for_text("Black ones");
    ann.click("Channel general");
    ann.wait_for_label("Message general");
    ann.press_command(Key::K);
    ann.write("Where to?", "forum");
    ann.press(Key::Enter);
    ann.wait_for_text("Topic Which tomatoes? by Ann, 1 reply");
}

#[test]
fn what_is_half_written_and_how_things_look_stay_over_a_restart() {
    let mut ann = Desk::ready("Ann", &[]);
    ann.make_space("Allotment");
    ann.wait_for("Channel general");
    ann.click("Channel general");
    ann.wait_for_label("Message general");
    ann.write("Message general", "half a th");
    ann.click("Settings");
    ann.click("Appearance");
    ann.click("Light");
    ann.restart();
    ann.wait_for("Channel general");
    ann.click("Channel general");
    ann.wait_for_label("Message general");
    assert_eq!(ann.value("Message general"), "half a th");
    assert!(!ann.dark(), "the theme is kept");
}

#[test]
fn an_invite_brings_somebody_in_who_talks_is_muted_and_removed() {
    let relay = Relay::start();
    let addresses = [relay.address()];
    let mut ann = Desk::ready("Ann", &addresses);
    let mut bob = Desk::ready("Bob", &addresses);
    ann.make_space("Allotment");
    ann.wait_for("Channel general");
    ann.click("Channel general");
    ann.say("general", "before Bob came");
    ann.wait_for_text("before Bob came");
    let link = ann.invite_link();

    bob.click("Join with an invite");
    bob.write("Invite link", &link);
    // What the link says is shown before anything connects.
    assert!(bob.sees("Allotment"));
    bob.click("Ask to join");
    Desk::both(&mut ann, &mut bob, |_, bob| bob.has("Channel general"));
    bob.click("Channel general");
    bob.say("general", "thanks for having me");
    Desk::both(&mut ann, &mut bob, |ann, _| ann.has("thanks for having me"));
    ann.say("general", "welcome Bob");
    Desk::both(&mut ann, &mut bob, |_, bob| bob.has("welcome Bob"));

    // Whom an @ means is offered while it is typed, by keyboard or mouse, and closed with Escape.
    let field = "Message general";
    ann.write(field, "hey @B");
    ann.wait_for("Mention Bob");
    ann.press(Key::Escape);
    assert!(!ann.has("Mention Bob"));
    ann.write(field, "o");
    assert!(!ann.has("Mention Bob"), "closed until the next one");
    ann.press_command(Key::A);
    ann.write(field, "@b");
    ann.wait_for("Mention Bob");
    ann.press(Key::Enter);
    assert_eq!(ann.value(field), "@Bob ");
    ann.write(field, "and @");
    ann.click("Mention Bob");
    assert_eq!(ann.value(field), "@Bob and @Bob ");
    ann.say("general", "you too");
    Desk::both(&mut ann, &mut bob, |_, bob| bob.has("you too"));

    // While Bob looks elsewhere the desktop tells him of what is for him, and of no more than he wants.
    let title = "Ann in general (Allotment)";
    bob.look_away(true);
    ann.say("general", "for nobody in particular");
    ann.say("general", "@Bob are you there?");
    let mut told = Vec::new();
    Desk::both(&mut ann, &mut bob, |_, bob| {
        told.extend(bob.notified());
        !told.is_empty()
    });
    let expected = |body: &str| vec![(title.to_owned(), body.to_owned())];
    assert_eq!(told, expected("@Bob are you there?"));
    bob.right_click("Channel general");
    bob.click("Everything");
    bob.look_away(true);
    bob.click("Settings");
    bob.click("Notifications");
    bob.click("Who and where");
    ann.say("general", "anybody?");
    let mut told = Vec::new();
    Desk::both(&mut ann, &mut bob, |_, bob| {
        told.extend(bob.notified());
        !told.is_empty()
    });
    assert_eq!(told, expected(""), "what it says is for nobody else's eyes");
    bob.click("Back to the Space");
    bob.right_click("Channel general");
    bob.click("Nothing");
    ann.say("general", "@Bob hello?");
    Desk::both(&mut ann, &mut bob, |_, bob| bob.has("hello?"));
    assert_eq!(bob.notified(), []);
    bob.look_away(false);

    // Ann sees beforehand what comes of a kick; Bob is told.
    ann.click("Member Bob");
    ann.click("Kick");
    assert!(ann.sees("They may come back by an invite."));
    ann.write("Reason", "just a test");
    ann.click_role(Role::Button, "Kick");
    Desk::both(&mut ann, &mut bob, |_, bob| {
        bob.has("You are not a member of this Space any more. What is here stays readable.")
    });
    ann.click("Space menu");
    ann.click("Audit");
    ann.wait_for_text("Ann · kick: effective");
}

#[test]
fn an_owner_says_who_writes_where_and_what_things_are_called() {
    let relay = Relay::start();
    let (mut ann, mut bob) = Desk::two_in_a_space(&relay);
    bob.wait_for("Message general");
    bob.right_click("Channel general");
    assert!(!bob.has("Channel settings"), "that is for admins");
    bob.press(Key::Escape);

    ann.right_click("Channel general");
    ann.click("Channel settings");
    ann.overwrite("What it is about", "What the council decides");
    ann.click_role(Role::RadioButton, "Moderators");
    ann.click("Save");
    Desk::both(&mut ann, &mut bob, |_, bob| {
        bob.has("Moderators and up write here.") && bob.has("What the council decides")
    });
    assert!(ann.has("Message general"));
    ann.click("Space menu");
    ann.click("Space settings");
    ann.overwrite("Name of the Space", "Allotment gardens");
    ann.click("Save");
    Desk::both(&mut ann, &mut bob, |_, bob| {
        bob.has("Space Allotment gardens")
    });
    ann.click("Space menu");
    ann.click("Invites");
    ann.wait_for("1 of 10 used");
    ann.click("Revoke");
    ann.wait_for("No invite is open.");
    ann.click("Close");

    // Topics are renamed by whoever opened them.
    ann.click("Channel forum");
    bob.click("Channel forum");
    bob.click("New topic");
    bob.write("Title", "Beans");
    bob.write("Text", "How deep?");
    bob.click("Post topic");
    bob.wait_for("How deep?");
    bob.click("Edit topic");
    bob.overwrite("Title", "Beans and peas");
    bob.overwrite("Tags", "beds, seeds");
    bob.click("Save");
    Desk::both(&mut ann, &mut bob, |ann, _| {
        ann.has("Topic Beans and peas by Bob") && ann.has("#seeds")
    });
}

#[test]
fn who_asks_to_come_in_may_think_better_of_it() {
    let relay = Relay::start();
    let addresses = [relay.address()];
    let mut ann = Desk::ready("Ann", &addresses);
    ann.make_space("Allotment");
    ann.wait_for("Channel general");
    let link = ann.invite_link();
    drop(ann);
    let mut bob = Desk::ready("Bob", &addresses);
    bob.click("Join with an invite");
    bob.write("Invite link", &link);
    bob.click("Ask to join");
    let waits = "Allotment: waiting for a member";
    bob.wait_for(waits);
    bob.click("Withdraw the request");
    bob.wait_for("Withdraw your request to join Allotment?");
    bob.click("Withdraw the request");
    bob.wait_for("You do not ask to join Allotment any more.");
    bob.until("the request to be gone", |bob| {
        bob.step();
        !bob.has(waits)
    });
}

#[test]
fn a_picture_and_a_file_reach_somebody_who_saves_them() {
    let relay = Relay::start();
    let (mut ann, mut bob) = Desk::two_in_a_space(&relay);

    let dir = tempfile::tempdir().unwrap();
    let (garden, rota) = (dir.path().join("garden.png"), dir.path().join("rota.txt"));
    let shade = |at: u32| at.to_le_bytes()[0];
    let pixel = |x: u32, y: u32| image::Rgb([shade(x), shade(y), 90]);
    image::RgbImage::from_fn(900, 600, pixel)
        .save(&garden)
        .unwrap();
    fs::write(&rota, "Monday: Ann").unwrap();
    ann.wait_for("Message general");
    ann.drop_files(&[&garden, &rota, dir.path()]);
    ann.wait_for("is not a file.");
    ann.wait_for("Take out garden.png");
    ann.click("Take out rota.txt");
    assert!(!ann.has("Take out rota.txt"));
    ann.drop_files(&[&rota]);
    ann.wait_for("Take out rota.txt");
    // A message may be nothing but files.
    ann.focus("Message general");
    ann.press(Key::Enter);
    let seen = "Picture garden.png";
    // Not the frame that stands for it while it is on its way.
    let whole = |desk: &mut Desk| desk.has(seen) && !desk.has("on its way");
    Desk::both(&mut ann, &mut bob, |ann, bob| whole(ann) && whole(bob));
    bob.click(seen);
    bob.wait_for("Save to Downloads");
    bob.click("Save to Downloads");
    bob.wait_for("Saved as ");
    bob.click("Close");
    let saved = bob.downloads().join("garden.png");
    assert_eq!(fs::read(saved).unwrap(), fs::read(&garden).unwrap());
    bob.click("Save rota.txt");
    bob.until("the file", |bob| {
        bob.step();
        bob.downloads().join("rota.txt").exists()
    });
    let saved = bob.downloads().join("rota.txt");
    assert_eq!(fs::read(saved).unwrap(), b"Monday: Ann");
}

#[test]
fn a_picture_that_is_none_is_a_file_that_says_so() {
    let mut ann = Desk::ready("Ann", &[]);
    ann.make_space("Allotment");
    ann.wait_for("Channel general");
    ann.click("Channel general");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.png");
    fs::write(&path, b"\x89PNG\r\n\x1a\nnothing of the kind").unwrap();
    ann.wait_for("Message general");
    ann.drop_files(&[&path]);
    ann.wait_for("Take out broken.png");
    ann.say("general", "look");
    ann.wait_for("Not shown: the picture cannot be decoded.");
    ann.wait_for("Save broken.png");
}

#[test]
fn a_message_is_changed_answered_reacted_to_and_deleted() {
    let mut ann = Desk::ready("Ann", &[]);
    ann.make_space("Allotment");
    ann.wait_for("Channel general");
    ann.click("Channel general");
    ann.say("general", "helo");
    ann.wait_for_text("helo");
    // The arrow up in an empty field changes the last message.
    ann.focus("Message general");
    ann.press(Key::ArrowUp);
    ann.wait_for("You are editing a message");
    assert_eq!(ann.value("Message general"), "helo");
    ann.press_command(Key::A);
    ann.write("Message general", "hello");
    ann.press(Key::Enter);
    ann.wait_for("hello");
    ann.wait_for("edited");
    ann.open_menu_of_message("Ann");
    ann.click("👍");
    ann.wait_for("👍 1");
    ann.open_menu_of_message("Ann");
    ann.click("Reply");
    ann.wait_for("Reply to Ann");
    ann.say("general", "to myself");
    ann.wait_for_text("to myself");
    ann.open_menu_of_message("Ann");
    ann.click("Delete");
    ann.wait_for("Delete this message?");
    ann.click("Delete");
    ann.wait_for_text("Deleted by its author");
}
