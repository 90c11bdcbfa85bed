//! The file of a unix socket. Only the server that owns it removes it, at its end.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sync::{AtomicBool, Ordering};

/// Identifies a file, even if another file has taken its name. While the socket is open, the kernel
/// keeps the inode, so its number is not reused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::server) struct FileIdentity {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Removes the file when the last holder is dropped, if this process owns it and it is still the
/// same file. Holders drop it before they close the socket.
#[derive(Debug)]
pub(in crate::server) struct SocketFile {
    identity: FileIdentity,
    /// Needs no memory order: the last drop comes after all earlier accesses.
    is_owner: AtomicBool,
}

impl SocketFile {
    /// The file of a socket that was just bound to `path`.
    pub(super) fn created(path: &Path) -> io::Result<Self> {
        // The working directory may change before the file is removed.
        let path = path::absolute(path)?;
        let found = fs::symlink_metadata(&path)?;
        let identity = FileIdentity { device: found.dev(), inode: found.ino(), path };
        Ok(Self { identity, is_owner: AtomicBool::new(true) })
    }

    /// The file of another process, until this one takes ownership.
    pub(in crate::server) fn of_another(identity: FileIdentity) -> Self {
        Self { identity, is_owner: AtomicBool::new(false) }
    }

    pub(in crate::server) fn identity(&self) -> &FileIdentity {
        &self.identity
    }

    /// Takes ownership from the other process.
    pub(in crate::server) fn take_ownership(&self) {
        self.is_owner.store(true, Ordering::Relaxed);
    }

    /// Gives up ownership to another process.
    pub(in crate::server) fn give_up_ownership(&self) {
        self.is_owner.store(false, Ordering::Relaxed);
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
        if self.is_owner.load(Ordering::Relaxed) && self.identity.is_unchanged() {
            // A file that cannot be removed is stale, which the next server detects.
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
        let folder = test_needs::folder();
        let path = folder.path().join("socket");
        let _socket = UnixListener::bind(&path).unwrap();
        let file = SocketFile::created(&path).unwrap();
        let successor = SocketFile::of_another(file.identity().clone());
        file.give_up_ownership();
        drop(file);
        assert!(path.exists(), "it was left to another process");
        drop(SocketFile::of_another(successor.identity().clone()));
        assert!(path.exists(), "it was never claimed");
        successor.take_ownership();
        drop(successor);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_took_the_name_is_not_removed() {
        let folder = test_needs::folder();
        let path = folder.path().join("socket");
        let _first = UnixListener::bind(&path).unwrap();
        let file = SocketFile::created(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _second = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists(), "it is another server's");
    }
}
