//! The states of a message, in words and in JSON.
//!
//! A message never vanishes without a word: whatever became of it is said where it
//! would have stood.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::clean;
use super::look::Tone;
use crate::api::{Delivery, PostState, UserId};
use crate::output::Sent;

/// Returns how far an own message got.
pub(crate) fn delivery_words(delivery: Delivery) -> String {
    match delivery {
        Delivery::Saved => "saved".to_owned(),
        Delivery::OnRelay(1) => "on relay".to_owned(),
        Delivery::OnRelay(relays) => format!("on {relays} relays"),
        Delivery::SeenBy(people) => format!("seen by {people}"),
    }
}

/// Returns the tone of how far an own message got.
pub(crate) const fn delivery_tone(delivery: Delivery) -> Tone {
    match delivery {
        Delivery::Saved => Tone::Warn,
        Delivery::OnRelay(_) => Tone::Plain,
        Delivery::SeenBy(_) => Tone::Good,
    }
}

/// Returns `delivery` and `delivery_count`.
pub(crate) fn delivery_json(delivery: Option<Delivery>) -> (Value, Value) {
    match delivery {
        None => (Value::Null, Value::Null),
        Some(Delivery::Saved) => (json!("saved"), json!(0)),
        Some(Delivery::OnRelay(relays)) => (json!("on-relay"), json!(relays)),
        Some(Delivery::SeenBy(people)) => (json!("seen"), json!(people)),
    }
}

/// Returns how far what was just written got.
pub(crate) fn sent_words(sent: Sent) -> String {
    match sent {
        Sent::Reached(delivery) => delivery_words(delivery),
        Sent::OnRelay => "on relay".to_owned(),
        Sent::Later => "saved; will be sent when a relay is reachable".to_owned(),
        Sent::Offline => "saved; will be sent when you are online".to_owned(),
        Sent::NoRelay => {
            "saved; will be sent when there is a relay: `decent relays add`".to_owned()
        }
    }
}

/// Returns the word that `--json` gives for how far it got.
pub(crate) const fn sent_word(sent: Sent) -> &'static str {
    match sent {
        Sent::Reached(Delivery::Saved) | Sent::Later | Sent::Offline | Sent::NoRelay => "saved",
        Sent::Reached(Delivery::OnRelay(_)) | Sent::OnRelay => "on-relay",
        Sent::Reached(Delivery::SeenBy(_)) => "seen",
    }
}

/// Returns what became of a post; `None` when nothing did.
pub(crate) fn state_words(state: &PostState, people: &BTreeMap<UserId, String>) -> Option<String> {
    Some(match state {
        PostState::Normal => return None,
        PostState::Late {
            removal,
            unverified,
            quarantined,
        } => {
            let mut words = format!(
                "late: written without having seen the author's removal {}",
                removal.short()
            );
            if *unverified {
                words.push_str(", unverified");
            }
            if *quarantined {
                words.push_str(", quarantined");
            }
            words
        }
        PostState::Muted { mute } => {
            format!(
                "written while the author was being muted ({})",
                mute.short()
            )
        }
        PostState::Hidden {
            moderator, reason, ..
        } => {
            let name = people
                .get(moderator)
                .map_or_else(|| moderator.short(), |name| clean::line(name));
            if reason.is_empty() {
                format!("hidden by {name}")
            } else {
                format!("hidden by {name}: {}", clean::line(reason))
            }
        }
        PostState::Deleted { .. } => "deleted by its author".to_owned(),
        PostState::Refused { rule, by } => match by {
            Some(op) => format!("refused by rule {rule} ({})", op.short()),
            None => format!("refused by rule {rule}"),
        },
        PostState::Unreadable => "unreadable: malformed, or no longer kept".to_owned(),
    })
}

/// Returns the tone of what became of a post.
pub(crate) const fn state_tone(state: &PostState) -> Tone {
    match state {
        PostState::Normal => Tone::Plain,
        PostState::Late { .. } | PostState::Muted { .. } => Tone::Warn,
        PostState::Hidden { .. } | PostState::Deleted { .. } | PostState::Unreadable => Tone::Faint,
        PostState::Refused { .. } => Tone::Bad,
    }
}

/// Whether the text may be printed without being asked for.
pub(crate) const fn shows_text(state: &PostState) -> bool {
    match state {
        PostState::Normal | PostState::Muted { .. } => true,
        PostState::Late { quarantined, .. } => !*quarantined,
        PostState::Hidden { .. }
        | PostState::Deleted { .. }
        | PostState::Refused { .. }
        | PostState::Unreadable => false,
    }
}

/// Returns the state's fields: `state`, and what belongs to it.
pub(crate) fn state_json(state: &PostState) -> Vec<(&'static str, Value)> {
    let id = |id: &dyn std::fmt::Display| json!(id.to_string());
    match state {
        PostState::Normal => vec![("state", json!("normal"))],
        PostState::Late {
            removal,
            unverified,
            quarantined,
        } => vec![
            ("state", json!("late")),
            ("state_by", id(removal)),
            ("unverified", json!(unverified)),
            ("quarantined", json!(quarantined)),
        ],
        PostState::Muted { mute } => vec![("state", json!("muted")), ("state_by", id(mute))],
        PostState::Hidden {
            by,
            moderator,
            reason,
        } => vec![
            ("state", json!("hidden")),
            ("state_by", id(by)),
            ("moderator", id(moderator)),
            ("reason", json!(reason)),
        ],
        PostState::Deleted { by } => vec![("state", json!("deleted")), ("state_by", id(by))],
        PostState::Refused { rule, by } => vec![
            ("state", json!("refused")),
            ("rule", json!(rule)),
            ("state_by", by.map_or(Value::Null, |op| id(&op))),
        ],
        PostState::Unreadable => vec![("state", json!("unreadable"))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OpId;

    #[test]
    fn every_state_has_words() {
        let op = OpId::from_bytes([0xab; 32]);
        let bob = UserId::from_bytes([2; 32]);
        let people = BTreeMap::from([(bob, "Bob".to_owned())]);
        let table = [
            (
                PostState::Late {
                    removal: op,
                    unverified: true,
                    quarantined: true,
                },
                "late: written without having seen the author's removal abababab, unverified, quarantined",
            ),
            (
                PostState::Muted { mute: op },
                "written while the author was being muted (abababab)",
            ),
            (
                PostState::Hidden {
                    by: op,
                    moderator: bob,
                    reason: "spam\n\u{1b}[1m".to_owned(),
                },
                "hidden by Bob: spam �[1m",
            ),
            (
                PostState::Hidden {
                    by: op,
                    moderator: UserId::from_bytes([3; 32]),
                    reason: String::new(),
                },
                "hidden by 03030303",
            ),
            (PostState::Deleted { by: op }, "deleted by its author"),
            (
                PostState::Refused {
                    rule: "D3",
                    by: Some(op),
                },
                "refused by rule D3 (abababab)",
            ),
            (
                PostState::Unreadable,
                "unreadable: malformed, or no longer kept",
            ),
        ];
        for (state, words) in table {
            assert_eq!(state_words(&state, &people).as_deref(), Some(words));
        }
        assert_eq!(state_words(&PostState::Normal, &people), None);
    }

    #[test]
    fn delivery_reads_in_order() {
        let words: Vec<_> = [
            Delivery::Saved,
            Delivery::OnRelay(1),
            Delivery::OnRelay(2),
            Delivery::SeenBy(3),
        ]
        .map(delivery_words)
        .to_vec();
        assert_eq!(words, ["saved", "on relay", "on 2 relays", "seen by 3"]);
    }
}
