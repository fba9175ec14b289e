//! Who is told of what: subscriptions, pushes, and catching up after there was no room.

use net::wire::{
    Cursor, ErrorCode, Filed, PAGE_BYTES_MAX, PAGE_ITEMS_MAX, Push, Response, Subscription,
};

use super::{ConnId, EnvelopeStore, PushId, Pushed, Refusal, RelayCore, Shelf};

impl<S: EnvelopeStore> RelayCore<S> {
    pub(super) fn subscribe(
        &mut self,
        conn: ConnId,
        tags: &[Subscription],
        replace: bool,
        pushes: &mut Vec<Pushed>,
    ) -> Result<Response, Refusal> {
        if replace {
            let state = self.conns.get(&conn).ok_or(ErrorCode::Internal)?;
            let old: Vec<Shelf> = state
                .shelves
                .iter()
                .filter(|shelf| matches!(shelf, Shelf::Tag(_)))
                .copied()
                .collect();
            for shelf in old {
                self.unsubscribe(conn, &shelf);
            }
        }
        for Subscription { tag, .. } in tags {
            self.add_subscription(conn, Shelf::Tag(*tag))?;
        }
        for Subscription { tag, after } in tags {
            self.push_backlog(conn, Shelf::Tag(*tag), *after, pushes)?;
        }
        Ok(Response::Ok)
    }

    pub(super) fn add_subscription(&mut self, conn: ConnId, shelf: Shelf) -> Result<(), Refusal> {
        let max = match shelf {
            Shelf::Tag(_) => self.limits.subscriptions_max,
            Shelf::Mailbox(_) => self.limits.mailbox_subscriptions_max,
        };
        let state = self.conns.get_mut(&conn).ok_or(ErrorCode::Internal)?;
        if state.shelves.contains(&shelf) {
            return Ok(());
        }
        if state.subscriptions_like(&shelf) >= max {
            return Err(ErrorCode::QuotaExceeded.into());
        }
        state.shelves.insert(shelf);
        self.subscribers.entry(shelf).or_default().insert(conn);
        self.subscriptions += 1;
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, conn: ConnId, shelf: &Shelf) {
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        if state.shelves.contains(shelf) {
            state.unsubscribe(shelf);
            self.forget_subscriber(shelf, conn);
        }
    }

    pub(super) fn forget_subscriber(&mut self, shelf: &Shelf, conn: ConnId) {
        if let Some(conns) = self.subscribers.get_mut(shelf)
            && conns.remove(&conn)
        {
            self.subscriptions -= 1;
            if conns.is_empty() {
                self.subscribers.remove(shelf);
            }
        }
    }

    /// Pushes what arrived after a cursor, as far as there is room; the rest is announced as behind.
    pub(super) fn push_backlog(
        &mut self,
        conn: ConnId,
        shelf: Shelf,
        after: Cursor,
        pushes: &mut Vec<Pushed>,
    ) -> Result<(), Refusal> {
        let mut after = after;
        while after < self.store.head(&shelf) {
            let room = self.conns.get(&conn).map_or(0, |c| c.room(&self.limits));
            let room = room.min(PAGE_BYTES_MAX);
            let (items, more) = self.read_page(&shelf, after, PAGE_ITEMS_MAX, room, false)?;
            let Some(last) = items.last().map(|item| item.cursor) else {
                if more && let Some(state) = self.conns.get_mut(&conn) {
                    self.behind += 1;
                    state.fell_behind(shelf);
                }
                return Ok(());
            };
            self.push_items(conn, shelf, after, items, pushes);
            after = last;
        }
        Ok(())
    }

    pub(super) fn push_items(
        &mut self,
        conn: ConnId,
        shelf: Shelf,
        prev: Cursor,
        items: Vec<Filed>,
        pushes: &mut Vec<Pushed>,
    ) {
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        let push = match shelf {
            Shelf::Tag(tag) => Push::Envelopes { tag, prev, items },
            Shelf::Mailbox(recv_id) => Push::Mail {
                recv_id,
                items,
                prev,
            },
        };
        if push.sealed_len() > state.room(&self.limits) {
            self.behind += 1;
            state.fell_behind(shelf);
            return;
        }
        self.pushes += 1;
        let id = PushId(self.pushes);
        state.sent(id, shelf, &push);
        pushes.push(Pushed { conn, id, push });
    }

    pub(super) fn drain_behind(&mut self, conn: ConnId, pushes: &mut Vec<Pushed>) {
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        while let Some(shelf) = state.next_behind(&self.limits) {
            let push = match shelf {
                Shelf::Tag(tag) => Push::Behind { tag },
                Shelf::Mailbox(recv_id) => Push::MailBehind { recv_id },
            };
            self.pushes += 1;
            let id = PushId(self.pushes);
            state.sent(id, shelf, &push);
            pushes.push(Pushed { conn, id, push });
        }
    }
}
