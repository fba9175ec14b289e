//! The relay's key: clients name it in the address they dial, so it must outlive restarts.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use libp2p::identity::Keypair;
use rand_core::Rng;

use crate::segment::{io_error, sync_parent};
use crate::server::ServeError;
use crate::server::worker::seeded_rng;

/// Reads the key of this folder, or draws one. The file holds the 32-byte seed, readable by its owner only.
pub(super) fn load_or_create(dir: &Path) -> Result<Keypair, ServeError> {
    let path = dir.join("identity.key");
    let seed = match fs::read(&path) {
        Ok(seed) => seed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(&path)?.to_vec(),
        Err(error) => return Err(io_error("read the identity")(error).into()),
    };
    let seed: [u8; 32] = seed.try_into().or(Err(ServeError::Identity))?;
    Keypair::ed25519_from_bytes(seed).or(Err(ServeError::Identity))
}

fn create(path: &Path) -> Result<[u8; 32], ServeError> {
    let doing = "write the identity";
    let mut seed = [0; 32];
    seeded_rng()?.fill_bytes(&mut seed);
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh).map_err(io_error(doing))?;
    file.write_all(&seed).map_err(io_error(doing))?;
    file.sync_all().map_err(io_error(doing))?;
    fs::rename(&fresh, path).map_err(io_error(doing))?;
    sync_parent(path)?;
    Ok(seed)
}
