//! S3: what was forged is nowhere accepted, and the independent model agrees with everything else.

use std::io;

use oplog::OpId;

use crate::world::World;

/// Above so many ops the model, which is slow on purpose, is not asked.
const MODEL_OPS_MAX: usize = 300;

impl World {
    /// S3: none of these is one that breaks the rules for sure.
    pub(crate) fn check_accepted(&mut self, node: u16, ops: &[OpId]) {
        if self.devices[usize::from(node)].byzantine || self.forged.is_empty() {
            return;
        }
        let forged = ops
            .iter()
            .find_map(|op| self.forged.get(op).map(|class| (*op, *class)));
        if let Some((op, class)) = forged {
            let what = format!("accepted {}: {}", op.short(), class.what());
            self.fail("S3", Some(node), what);
        }
    }

    /// S3: the model comes to the same of every op, and shows the same, as the first honest device
    /// that is on and holds no more than it can judge.
    pub(crate) fn check_model(&mut self) {
        let mut honest = self.devices.iter().filter(|device| {
            let held = device.accepted.len();
            !device.byzantine && (1..=MODEL_OPS_MAX).contains(&held) && device.is_whole()
        });
        let Some(index) = honest.next().map(|device| device.index) else {
            return;
        };
        let Ok(lines) = self.dump_lines(index) else {
            return;
        };
        let signatures = self.config.crypto.signatures();
        match crate::model::check_signed(signatures, lines.iter().map(String::as_str)) {
            Ok(_) => self
                .sometimes
                .note("the model judged all that a device held"),
            Err(differences) => {
                let first = differences.first().map(ToString::to_string);
                let what = format!(
                    "{} differences: {}",
                    differences.len(),
                    first.unwrap_or_default()
                );
                self.fail("S3", Some(index), what);
            }
        }
    }

    /// What one device holds, as lines of JSON.
    pub(crate) fn dump_lines(&self, node: u16) -> io::Result<Vec<String>> {
        let device = self.devices.get(usize::from(node));
        let device = device.ok_or_else(|| io::Error::other("there is no such device"))?;
        let running = device.node.as_ref();
        let running = running.ok_or_else(|| io::Error::other("the device is off"))?;
        let space = self
            .space
            .ok_or_else(|| io::Error::other("no Space was founded"))?;
        let dump = running.dump(space).map_err(io::Error::other)?;
        Ok(crate::dump::lines(&dump))
    }
}
