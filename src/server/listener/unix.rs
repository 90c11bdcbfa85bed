//! Unix sockets that listen: their file, its permissions, and the file of a dead server.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};

use super::socket_file::SocketFile;

/// Listens at a path. Replaces a socket on which no process listens any more.
///
/// If two servers start on such a path at the same moment, both may find it dead. The one that
/// removes it last then has the path, and the other listens on a removed file.
pub(super) fn open(path: &Path, mode: u32, backlog: i32) -> io::Result<(Socket, SocketFile)> {
    let address = SockAddr::unix(path)?;
    remove_stale(path, &address)?;
    let socket = bind(&address, mode)?;
    let file = SocketFile::created(path)?;
    set_permissions(path, mode)?;
    socket.listen(backlog)?;
    Ok((socket, file))
}

/// The file never has more permissions than `mode`, not even for a moment: Linux creates it with
/// those of the socket less the umask. (Changing the umask would affect every thread.)
fn bind(address: &SockAddr, mode: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let socket = File::from(OwnedFd::from(socket));
    socket.set_permissions(Permissions::from_mode(mode))?;
    let socket = Socket::from(OwnedFd::from(socket));
    socket.set_nonblocking(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Gives a socket's file the permissions that the umask has removed. Another user who may write to
/// the folder could have put a link in its place. So the file is opened first, and not followed.
fn set_permissions(path: &Path, mode: u32) -> io::Result<()> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.file_type().is_socket() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(opened, Permissions::from_mode(mode))
}

/// Removes a socket without a listener at this path.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A socket that is busy, of another type or of another user also has a listener.
        _ => Err(ErrorKind::AddrInUse.into()),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::path::PathBuf;

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn folder_with_path() -> (tempfile::TempDir, PathBuf) {
        let folder = test_needs::folder();
        let path = folder.path().join("socket");
        (folder, path)
    }

    #[test]
    fn a_socket_is_born_with_its_permissions() {
        for mode in [0o600, 0o660, 0o666, 0] {
            let (_folder, path) = folder_with_path();
            let _born = bind(&SockAddr::unix(&path).unwrap(), mode).unwrap();
            assert_eq!(mode_of(&path) & !mode, 0, "{mode:o} before it was corrected");
            let (_folder, path) = folder_with_path();
            let _open = open(&path, mode, 1).unwrap();
            assert_eq!(mode_of(&path), mode, "whatever the umask");
        }
    }

    #[test]
    fn a_link_that_took_the_place_of_a_socket_is_not_followed() {
        let (folder, path) = folder_with_path();
        let precious = folder.path().join("precious");
        fs::write(&precious, "").unwrap();
        fs::set_permissions(&precious, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        assert_eq!(set_permissions(&path, 0o666).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(mode_of(&precious), 0o600);
    }

    #[test]
    fn a_path_without_a_listener_is_taken() {
        let (_folder, path) = folder_with_path();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file");
        let (_socket, file) = open(&path, 0o600, 1).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_path_with_a_listener_is_left_alone() {
        let (_folder, path) = folder_with_path();
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(open(&path, 0o600, 1).unwrap_err().kind(), ErrorKind::AddrInUse);
        // A socket whose backlog is full is alive, too.
        let listener = Socket::from(OwnedFd::from(listener));
        listener.listen(0).unwrap();
        let mut waiting = Vec::new();
        let full = loop {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            match client.connect(&SockAddr::unix(&path).unwrap()) {
                Ok(()) => waiting.push(client),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        assert_eq!(open(&path, 0o600, 1).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_stream_socket_is_never_removed() {
        let (folder, path) = folder_with_path();
        fs::write(&path, "precious").unwrap();
        let error = open(&path, 0o600, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        assert_eq!(open(folder.path(), 0o600, 1).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let dangling = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
        assert_eq!(open(&dangling, 0o600, 1).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let datagrams = folder.path().join("datagrams");
        let _log = UnixDatagram::bind(&datagrams).unwrap();
        assert_eq!(open(&datagrams, 0o600, 1).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(datagrams.exists());
    }

    #[test]
    fn a_path_that_cannot_be_is_an_error() {
        let (folder, path) = folder_with_path();
        let error = open(&path.join("below"), 0o600, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = open(&folder.path().join("x".repeat(108)), 0o600, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn an_attempt_that_failed_leaves_no_file() {
        let (_folder, path) = folder_with_path();
        let (_socket, file) = open(&path, 0o600, 1).unwrap();
        assert!(open(&path, 0o600, 1).is_err());
        drop(file);
        assert!(!path.exists());
    }
}
