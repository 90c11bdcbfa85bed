//! The socket of the pages: only its owner may connect, and a path belongs to one living process.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use rustix::process::test_kill_process;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;

/// A listening socket and its file.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
}

/// The file of a socket that is bound.
#[derive(Clone, Debug)]
pub(super) struct SocketFile {
    pub(super) path: PathBuf,
    identity: Identity,
}

/// The device, the inode and its last change: another process may have replaced the file, and the
/// kernel uses inodes again.
type Identity = (u64, u64, i64, i64);

/// Why there is no socket.
#[derive(Debug)]
pub(super) enum NoSocket {
    /// Another process listens there.
    InUse,
    /// Another kind of file is there.
    NotASocket,
    Failed {
        operation: &'static str,
        source: io::Error,
    },
}

impl Socket {
    /// Binds the path, and replaces the socket of a process that has ended.
    pub(super) fn bind(path: PathBuf) -> Result<Self, NoSocket> {
        let address = SocketAddrUnix::new(&path).map_err(failed("bind"))?;
        let socket = new_socket().map_err(failed("socket"))?;
        // The file gets the mode of the socket, less the umask.
        fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(failed("fchmod"))?;
        match bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                remove_stale(&path, &address)?;
                bind(&socket, &address).map_err(failed("bind"))?;
            }
            other => other.map_err(failed("bind"))?,
        }
        listen(&socket, BACKLOG).map_err(failed("listen"))?;
        let identity =
            identity(&path).map_err(|source| NoSocket::Failed { operation: "lstat", source })?;
        Ok(Self { listener: socket.into(), file: SocketFile { path, identity } })
    }
}

impl SocketFile {
    /// Removes the file, unless it is another one meanwhile.
    pub(super) fn remove(&self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // The program may not have the rights any more. The next process replaces the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn new_socket() -> rustix::io::Result<rustix::fd::OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Removes the file if no living process listens on it.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), NoSocket> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        return Err(NoSocket::NotASocket);
    }
    let probe = new_socket().map_err(failed("socket"))?;
    let is_stale = match connect(&probe, address) {
        Err(Errno::CONNREFUSED) => true,
        // A child holds the socket of its parent, which may have ended.
        Ok(()) => socket_peercred(&probe)
            .is_ok_and(|owner| test_kill_process(owner.pid) == Err(Errno::SRCH)),
        Err(_) => false,
    };
    if !is_stale {
        return Err(NoSocket::InUse);
    }
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(NoSocket::Failed { operation: "unlink", source })
        }
        _ => Ok(()),
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino(), file.ctime(), file.ctime_nsec()))
}

fn failed(operation: &'static str) -> impl Fn(Errno) -> NoSocket {
    move |errno| NoSocket::Failed { operation, source: errno.into() }
}

impl fmt::Display for NoSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str(
                "another process listens there; put %p into the path, which stands for the \
                 process's id",
            ),
            Self::NotASocket => {
                f.write_str("a file is there that is no socket; remove it, or choose another path")
            }
            Self::Failed { operation, source } => {
                write!(f, "{operation}: {source}; choose a path that the program may create")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_and_other_files_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let first = Socket::bind(path.clone()).expect("free");
        assert_eq!(fs::metadata(&path).expect("bound").mode() & 0o777, 0o600);
        assert!(matches!(Socket::bind(path.clone()), Err(NoSocket::InUse)));
        let file = first.file.clone();
        drop(first);
        let second = Socket::bind(path.clone()).expect("stale");
        file.remove();
        assert!(path.exists(), "it is the second one's");
        second.file.remove();
        assert!(!path.exists());
        fs::write(&path, "text").expect("written");
        assert!(matches!(Socket::bind(path.clone()), Err(NoSocket::NotASocket)));
        assert_eq!(fs::read(&path).expect("still there"), b"text");
    }
}
