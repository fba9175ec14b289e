//! S8: whoever was removed decrypts nothing that was sealed after its sender knew.

use crate::world::World;

impl World {
    /// S8: tries the keys of everybody whom the sender counts as removed.
    pub(crate) fn check_sealed_for(&mut self, node: u16, envelope: &[u8]) {
        let Some(space) = self.space.filter(|_| self.memory.somebody_removed) else {
            return;
        };
        let sender = &self.devices[usize::from(node)];
        let (true, Some(running)) = (sender.is_honest(), &sender.node) else {
            return;
        };
        let members = running.members(space).unwrap_or_default();
        let me = running.me().user;
        // Who is out himself seals what he wrote before for those he knew.
        let inside = |user| members.iter().any(|m| m.user == user && m.weight.is_some());
        if !inside(me) {
            return;
        }
        let mut tried = false;
        let reader = self.devices.iter().find(|device| {
            let Some(other) = device.node.as_ref().filter(|_| device.index != node) else {
                return false;
            };
            let user = other.me().user;
            let removed = members.iter().any(|m| m.user == user) && !inside(user);
            tried |= removed;
            removed && other.peek_opens_content(&space, envelope)
        });
        if let Some(reader) = reader.map(|device| device.index) {
            let what =
                format!("sealed content that node {reader} opens, which it knew was removed");
            return self.fail("S8", Some(node), what);
        }
        if tried {
            self.sometimes
                .note("somebody removed tried to open what was sealed after");
        }
    }
}
