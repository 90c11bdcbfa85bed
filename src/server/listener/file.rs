//! The file of a unix socket: removed when its server leaves, and by no other.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sync::{AtomicBool, Ordering};

/// Which file, also once another has taken its name.
///
/// While the socket is open the kernel keeps the inode, so that its number is nobody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::server) struct FileIdentity {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Removes the file when the last of its holders is dropped, if it is ours then and still the one
/// it was. Its holders drop it before they close the socket.
#[derive(Debug)]
pub(in crate::server) struct SocketFile {
    identity: FileIdentity,
    /// Needs no order: the last holder's drop comes after all that the others did.
    ours: AtomicBool,
}

impl SocketFile {
    /// The file of a socket that was just bound to `path`.
    pub(super) fn created(path: &Path) -> io::Result<Self> {
        // The working directory may be another by the time the file is removed.
        let path = path::absolute(path)?;
        let found = fs::symlink_metadata(&path)?;
        let identity = FileIdentity { device: found.dev(), inode: found.ino(), path };
        Ok(Self { identity, ours: AtomicBool::new(true) })
    }

    /// A file that is another process's, until it is claimed.
    pub(in crate::server) fn of_another(identity: FileIdentity) -> Self {
        Self { identity, ours: AtomicBool::new(false) }
    }

    pub(in crate::server) fn identity(&self) -> &FileIdentity {
        &self.identity
    }

    /// Its former owner leaves it to us.
    pub(in crate::server) fn claim(&self) {
        self.ours.store(true, Ordering::Relaxed);
    }

    /// We leave it to somebody else.
    pub(in crate::server) fn renounce(&self) {
        self.ours.store(false, Ordering::Relaxed);
    }
}

impl FileIdentity {
    fn is_unchanged(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.ours.load(Ordering::Relaxed) && self.identity.is_unchanged() {
            // What cannot be removed is stale, which the next server sees.
            let _ = fs::remove_file(&self.identity.path);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_file_goes_with_its_owner_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = UnixListener::bind(&path).unwrap();
        let file = SocketFile::created(&path).unwrap();
        let successor = SocketFile::of_another(file.identity().clone());
        file.renounce();
        drop(file);
        assert!(path.exists(), "it was left to somebody else");
        drop(SocketFile::of_another(successor.identity().clone()));
        assert!(path.exists(), "it was never claimed");
        successor.claim();
        drop(successor);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_took_the_name_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _first = UnixListener::bind(&path).unwrap();
        let file = SocketFile::created(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _second = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists(), "it is another server's");
    }
}
