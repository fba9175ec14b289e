//! For the bench: a channel of any length on a screen that does not exist.

use std::collections::BTreeMap;
use std::sync::Arc;

use egui::{Context, Event, MouseWheelUnit, RawInput, Rect, pos2, vec2};

use crate::api::{ChannelId, DeviceId, Hlc, OpId, PostState, PostView, SpaceId, Timestamp, UserId};
use crate::markdown;
use crate::model::{Line, LineId, Model, Post};
use crate::panels;
use crate::theme;
use crate::ui_state::{UiState, View};
use crate::worker::{Profile, Worker};

/// A channel with many posts.
pub struct Room {
    ctx: Context,
    model: Model,
    state: UiState,
    worker: Worker,
    line: LineId,
    time: f64,
}

impl core::fmt::Debug for Room {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

impl Room {
    /// Makes one of so many posts, of mixed heights, with reactions and quotes.
    ///
    /// # Panics
    /// When the system gives no thread.
    #[must_use]
    pub fn of(posts: u32) -> Self {
        let line = LineId {
            space: SpaceId::from_bytes([1; 32]),
            channel: ChannelId::from_bytes([2; 16]),
            thread: None,
        };
        // Texts repeat; what differs is who, when and which.
        let texts: Vec<(String, Vec<markdown::Block>)> = (0..97_usize)
            .map(|n| {
                let text = "Some words about **beds** and `seeds`. ".repeat(1 + n % 9);
                let text = if n.is_multiple_of(11) {
                    format!("{text}\n\n> quoted\n\n- one\n- two")
                } else {
                    text
                };
                let blocks = markdown::parse(&text);
                (text, blocks)
            })
            .collect();
        let all = (0..posts).map(|n| Arc::new(post(n, line, &texts)));
        let line_data = Line {
            id: line,
            posts: all.collect(),
            older: false,
            read: None,
        };
        let model = Model {
            lines: BTreeMap::from([(line, Arc::new(line_data))]),
            ..Model::default()
        };
        let ctx = Context::default();
        theme::apply(&ctx);
        let worker = Worker::start(Profile::default(), Arc::new(|| {}));
        #[expect(clippy::expect_used, reason = "documented")]
        let worker = worker.expect("a thread");
        Self {
            ctx,
            model,
            state: UiState::new(String::new(), None),
            worker,
            line,
            time: 0.0,
        }
    }

    /// Draws a frame after the wheel was turned so far up.
    pub fn frame(&mut self, wheel: f32) {
        self.time += 1.0 / 60.0;
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(pos2(0.0, 0.0), vec2(1280.0, 800.0))),
            time: Some(self.time),
            events: vec![
                Event::PointerMoved(pos2(600.0, 400.0)),
                Event::MouseWheel {
                    unit: MouseWheelUnit::Point,
                    delta: vec2(0.0, wheel),
                    phase: egui::TouchPhase::Move,
                    modifiers: egui::Modifiers::NONE,
                },
            ],
            ..RawInput::default()
        };
        let view = View {
            model: &self.model,
            worker: &self.worker,
            now: Timestamp::from_ms(1_780_000_000_000),
        };
        let (state, line) = (&mut self.state, self.line);
        let _output = self.ctx.run_ui(input, |ui| {
            egui::CentralPanel::default().show(ui, |ui| {
                panels::posts::show(ui, &view, state, line, "general");
            });
        });
    }
}

fn post(n: u32, line: LineId, texts: &[(String, Vec<markdown::Block>)]) -> Post {
    let bytes = |n: u32| {
        let mut id = [0; 32];
        for (place, byte) in id.iter_mut().zip(n.to_be_bytes()) {
            *place = byte;
        }
        id
    };
    let author = bytes(n / 3 % 50);
    let at = usize::try_from(n).unwrap_or(0) % texts.len().max(1);
    let (text, blocks) = texts.get(at).cloned().unwrap_or_default();
    let wall = Timestamp::from_ms(1_700_000_000_000 + u64::from(n) * 40_000);
    let view = PostView {
        id: OpId::from_bytes(bytes(n)),
        channel: line.channel,
        thread: None,
        title: None,
        reply_to: None,
        author: UserId::from_bytes(author),
        author_name: format!("Person {}", n / 3 % 50),
        device: DeviceId::from_bytes(author),
        hlc: Hlc::from_wall(wall),
        wall,
        body: text,
        history: Vec::new(),
        attachments: Vec::new(),
        reactions: if n.is_multiple_of(7) {
            vec![("👍".to_owned(), vec![UserId::from_bytes(author)])]
        } else {
            Vec::new()
        },
        mentions: Vec::new(),
        pinned: false,
        state: PostState::Normal,
        delivery: None,
    };
    let quote = n.is_multiple_of(13).then(|| {
        let key = UserId::from_bytes(bytes(7));
        (
            "Person 7".to_owned(),
            key,
            "what was said before".to_owned(),
        )
    });
    Post {
        view,
        blocks,
        quote,
    }
}
