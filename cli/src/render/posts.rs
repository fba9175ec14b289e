//! Posts and threads for people.

use super::clean;
use super::look::{Look, Tone};
use super::state::{delivery_tone, delivery_words, shows_text, state_tone, state_words};
use super::table::{self, Cell};
use super::time;
use crate::api::{PostView, ThreadSummary, UserId};
use crate::output::Page;

/// Returns a page of posts, oldest first.
pub(super) fn page(page: &Page, look: Look) -> String {
    let mut out = String::new();
    if let Some(heading) = &page.heading {
        out.push_str(&look.paint(Tone::Strong, &clean::line(heading)));
        out.push('\n');
        if page.posts.is_empty() {
            out.push_str("  nothing here yet\n");
        }
    }
    for post in &page.posts {
        out.push_str(&one(post, page, look));
    }
    out
}

fn one(post: &PostView, page: &Page, look: Look) -> String {
    let mut head = vec![
        look.paint(Tone::Faint, &time::minute(post.wall)),
        look.paint(Tone::Strong, &clean::line(&post.author_name)),
        look.paint(Tone::Faint, &post.author.short()),
        look.paint(Tone::Faint, &format!("[{}]", post.id.short())),
    ];
    if let Some(delivery) = post.delivery {
        head.push(look.paint(delivery_tone(delivery), &delivery_words(delivery)));
    }
    let mut out = head.join("  ");
    out.push('\n');
    let words = state_words(&post.state, &page.people);
    if let Some(title) = &post.title {
        out.push_str("    ");
        out.push_str(&look.paint(Tone::Strong, &clean::line(title)));
        out.push('\n');
    }
    if let Some(words) = &words {
        out.push_str("    ");
        out.push_str(&look.paint(state_tone(&post.state), &format!("({words})")));
        out.push('\n');
    }
    if shows_text(&post.state) || page.all {
        if page.all {
            for earlier in &post.history {
                let earlier = clean::block(earlier, "    was: ");
                out.push_str(&look.paint(Tone::Faint, earlier.trim_end()));
                out.push('\n');
            }
        }
        out.push_str(&look.block(&post.body, "    "));
    } else if !post.body.is_empty() {
        out.push_str("    ");
        out.push_str(&look.paint(Tone::Faint, "(shown with --all)"));
        out.push('\n');
    }
    let notes = notes(post, page);
    if !notes.is_empty() {
        out.push_str("    ");
        out.push_str(&look.paint(Tone::Faint, &notes.join(" · ")));
        out.push('\n');
    }
    for (at, file) in post.attachments.iter().enumerate() {
        out.push_str(&format!(
            "    [{}] {} ({})\n",
            at + 1,
            clean::line(&file.name),
            size(file.size)
        ));
    }
    out
}

fn notes(post: &PostView, page: &Page) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(answered) = post.reply_to {
        notes.push(format!("answers {}", answered.short()));
    }
    match post.history.len() {
        0 => {}
        1 => notes.push("edited".to_owned()),
        times => notes.push(format!("edited {times} times")),
    }
    if post.pinned {
        notes.push("pinned".to_owned());
    }
    for (emoji, people) in &post.reactions {
        notes.push(format!("{} {}", clean::line(emoji), people.len()));
    }
    if !post.mentions.is_empty() {
        let names: Vec<_> = post.mentions.iter().map(|u| name(*u, page)).collect();
        notes.push(format!("mentions {}", names.join(", ")));
    }
    notes
}

fn name(user: UserId, page: &Page) -> String {
    let known = page.people.get(&user);
    known.map_or_else(|| user.short(), |name| clean::line(name))
}

/// Returns a list of threads.
pub(super) fn threads(forum: &str, threads: &[ThreadSummary], look: Look) -> String {
    let forum = clean::line(forum);
    if threads.is_empty() {
        return format!("no threads in #{forum} yet: `decent thread new TITLE`\n");
    }
    let nobody = std::collections::BTreeMap::new();
    let rows: Vec<_> = threads
        .iter()
        .map(|thread| {
            let mut notes: Vec<String> = Vec::new();
            if !thread.tags.is_empty() {
                notes.push(clean::line(&thread.tags.join(", ")));
            }
            notes.extend(state_words(&thread.state, &nobody));
            vec![
                Cell::new(Tone::Faint, thread.id.short()),
                Cell::new(Tone::Faint, time::minute(thread.last_activity)),
                Cell::new(Tone::Strong, clean::line(&thread.title)),
                Cell::plain(format!("by {}", clean::line(&thread.author_name))),
                Cell::plain(match thread.replies {
                    1 => "1 reply".to_owned(),
                    n => format!("{n} replies"),
                }),
                Cell::new(state_tone(&thread.state), notes.join(" · ")),
            ]
        })
        .collect();
    let heading = look.paint(Tone::Strong, &format!("#{forum}"));
    format!("{heading}\n{}", table::render(&rows, "", look))
}

/// Returns a length in the unit people would use.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = "KiB";
    for next in UNITS.iter().skip(1) {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (1_048_576, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
