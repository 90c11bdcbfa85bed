//! The needs. The tests try each to find out whether it is met.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, Error};
use std::net::{Ipv6Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use io_uring::IoUring;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::process::geteuid;
use rustix::pty::{OpenptFlags, openpt, unlockpt};
use rustix::thread::{sched_getaffinity, sched_setaffinity};

/// The user that a test becomes when it has to be another one.
const OTHER_USER: u32 = 65_534;

/// What a test can need of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// io_uring of Linux 5.19, neither switched off nor refused by a sandbox.
    IoUring,
    /// The right to bind a thread to a core (`sched_setaffinity(2)`).
    Affinity,
    /// A wait that counts nanoseconds (`epoll_pwait2(2)`).
    PreciseWait,
    /// An IPv6 loopback address.
    Ipv6,
    /// So many open files in one process. The soft limit is raised to the hard limit.
    Descriptors(u64),
    /// A backlog of at least so many connections (sysctl `net.core.somaxconn`).
    Backlog(u32),
    /// A program in `PATH`, or where Debian keeps servers.
    Program(&'static str),
    /// A C compiler, and libevent's headers (Debian: `libevent-dev`).
    Libevent,
    /// A Python with the package websockets (Debian: `python3-websockets`).
    PythonWebsockets,
    /// Node with the package ws (Debian: `node-ws`).
    NodeWs,
    /// `strace`, and the right to trace a child.
    Trace,
    /// The right to run a program as another user.
    OtherUser,
    /// The right to make a program set-user-ID for another user, and a kernel that honors it.
    SetUserId,
    /// The right to mount, in a mount namespace of its own.
    Mount,
    /// The right to have a system call fail in a thread (`seccomp(2)`); only a test can try that.
    SeccompFilter,
    /// A pseudo-terminal.
    Terminal,
    /// The right to have clocks of its own (`time_namespaces(7)`).
    TimeNamespace,
}

/// The programs that tests need, by name.
const PROGRAMS: [&str; 28] = [
    "apache2",
    "bash",
    "c++",
    "caddy",
    "cc",
    "chromium",
    "git",
    "haproxy",
    "memcached",
    "mpirun",
    "munged",
    "nginx",
    "node",
    "openssl",
    "prometheus",
    "promtool",
    "python3",
    "redis-benchmark",
    "redis-cli",
    "redis-server",
    "sinfo",
    "slurmctld",
    "slurmd",
    "srun",
    "ssh",
    "ssh-keygen",
    "sshd",
    "taskset",
];

/// By its name and its number, as the list of skipped tests shows it.
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Descriptors(count) => write!(f, " ({count})"),
            Self::Backlog(count) => write!(f, " ({count})"),
            _ => Ok(()),
        }
    }
}

impl Need {
    /// The name that `EVSHARD_TEST_REQUIRE` has for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Affinity => "affinity",
            Self::PreciseWait => "precise-wait",
            Self::Ipv6 => "ipv6",
            Self::Descriptors(_) => "descriptors",
            Self::Backlog(_) => "backlog",
            Self::Program(name) => name,
            Self::Libevent => "libevent",
            Self::PythonWebsockets => "python3-websockets",
            Self::NodeWs => "node-ws",
            Self::Trace => "strace",
            Self::OtherUser => "other-user",
            Self::SetUserId => "set-user-id",
            Self::Mount => "mount",
            Self::SeccompFilter => "seccomp",
            Self::Terminal => "terminal",
            Self::TimeNamespace => "time-namespace",
        }
    }

    /// The names of all needs.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        let needs = [
            Self::IoUring,
            Self::Affinity,
            Self::PreciseWait,
            Self::Ipv6,
            Self::Descriptors(0),
            Self::Backlog(0),
            Self::Libevent,
            Self::PythonWebsockets,
            Self::NodeWs,
            Self::Trace,
            Self::OtherUser,
            Self::SetUserId,
            Self::Mount,
            Self::SeccompFilter,
            Self::Terminal,
            Self::TimeNamespace,
        ];
        needs.into_iter().map(Self::name).chain(PROGRAMS)
    }

    /// Why the need is not met; `None` if it is. Each process tries it once.
    pub(crate) fn missing(self) -> Option<String> {
        static FOUND: Mutex<Option<HashMap<Need, Option<String>>>> = Mutex::new(None);
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        let known = found.get_or_insert_default();
        known.entry(self).or_insert_with(|| self.try_it().err().map(|e| e.to_string())).clone()
    }

    fn try_it(self) -> io::Result<()> {
        match self {
            // On a thread of its own: when a ring is closed, the kernel interrupts a later wait of
            // the thread that opened it.
            Self::IoUring => thread::spawn(open_ring).join().expect("it does not panic"),
            Self::Affinity => Ok(sched_setaffinity(None, &sched_getaffinity(None)?)?),
            Self::PreciseWait => wait_a_nanosecond(),
            Self::Ipv6 => TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).map(drop),
            Self::Descriptors(count) => raise_descriptors(count),
            Self::Backlog(count) => expect_backlog(count),
            Self::Program(name) => find(name).map(drop).ok_or_else(|| not_installed(name)),
            Self::Libevent => finish(Command::new("cc").args([
                "-fsyntax-only",
                "-include",
                "event2/buffer.h",
                "-x",
                "c",
                "/dev/null",
            ])),
            Self::PythonWebsockets => find_python_websockets().map(drop),
            Self::NodeWs => finish(node_command()?.args(["-e", "require('ws')"])),
            Self::Trace => trace_a_child(),
            Self::OtherUser => run_as_other_user(),
            Self::SetUserId => run_set_user_id(),
            Self::Mount => {
                finish(Command::new("unshare").args(["-m", "mount", "--bind", "/", "/"]))
            }
            Self::SeccompFilter => Ok(()),
            Self::TimeNamespace => {
                let flags = ["-T", "--monotonic", "3", "--fork", "true"];
                finish(Command::new("unshare").args(flags))
            }
            Self::Terminal => {
                let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
                Ok(unlockpt(&terminal)?)
            }
        }
    }
}

/// The path of a program; `None`, and the test is skipped, if it is not installed.
#[track_caller]
#[must_use = "a test without its program must return"]
pub fn program(name: &'static str) -> Option<PathBuf> {
    if crate::missing(Need::Program(name)) { None } else { find(name) }
}

/// A Python with the package websockets; `None`, and the test is skipped, if there is none.
#[track_caller]
#[must_use = "a test without its program must return"]
pub fn python_websockets() -> Option<Command> {
    let is_missing = crate::missing(Need::PythonWebsockets);
    if is_missing { None } else { find_python_websockets().ok() }
}

/// Node with the package ws; `None`, and the test is skipped, if it is not installed.
#[track_caller]
#[must_use = "a test without its program must return"]
pub fn node_ws() -> Option<Command> {
    if crate::missing(Need::NodeWs) { None } else { node_command().ok() }
}

/// The first Python that has the package: that of `PATH` may be another one than Debian's.
fn find_python_websockets() -> io::Result<Command> {
    let pythons = find("python3").into_iter().chain(["/usr/bin/python3".into()]);
    let has_it =
        |python: &PathBuf| finish(Command::new(python).args(["-c", "import websockets"])).is_ok();
    let mut with_it = pythons.filter(has_it).map(Command::new);
    with_it.next().ok_or_else(|| not_installed("websockets for Python"))
}

/// Node, which also looks for packages where Debian has them.
fn node_command() -> io::Result<Command> {
    let mut node = Command::new(find("node").ok_or_else(|| not_installed("node"))?);
    let own = std::env::var("NODE_PATH").unwrap_or_default();
    node.env("NODE_PATH", format!("{own}:/usr/share/nodejs:/usr/lib/nodejs"));
    Ok(node)
}

/// Servers are often outside an ordinary user's `PATH`.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let is_program = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 1 != 0)
    };
    folders.map(|folder| folder.join(name)).find(is_program)
}

fn not_installed(name: &str) -> Error {
    Error::other(format!("{name} is not installed"))
}

/// A ring as the backend opens it, and one call to enter it.
fn open_ring() -> io::Result<()> {
    let mut builder = IoUring::builder();
    builder.setup_submit_all().setup_coop_taskrun().setup_taskrun_flag();
    let ring: IoUring = builder.build(4)?;
    let features = ring.params();
    if !features.is_feature_ext_arg() || !features.is_feature_skip_cqe_on_success() {
        return Err(Error::other("the kernel is older than 5.19"));
    }
    ring.submit().map(drop)
}

fn wait_a_nanosecond() -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let timeout = Timespec { tv_sec: 0, tv_nsec: 1 };
    let mut events = Vec::with_capacity(1);
    epoll::wait(epoll, spare_capacity(&mut events), Some(&timeout))?;
    Ok(())
}

fn raise_descriptors(count: u64) -> io::Result<()> {
    let allowed = rlimit::increase_nofile_limit(u64::MAX)?;
    let limit = || Error::other(format!("the hard limit is {allowed} (ulimit -Hn)"));
    if allowed < count { Err(limit()) } else { Ok(()) }
}

fn expect_backlog(count: u32) -> io::Result<()> {
    let text = fs::read_to_string("/proc/sys/net/core/somaxconn")?;
    let limit = || Error::other(format!("net.core.somaxconn is {}", text.trim()));
    let allowed: u32 = text.trim().parse().map_err(|_| limit())?;
    if allowed < count { Err(limit()) } else { Ok(()) }
}

fn trace_a_child() -> io::Result<()> {
    if find("strace").is_none() {
        return Err(not_installed("strace"));
    }
    finish(Command::new("strace").args([
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "inject=sync:error=EPERM",
        "true",
    ]))
}

/// Runs a copy of `id` as another user, from a temporary folder as the tests do.
fn run_as_other_user() -> io::Result<()> {
    let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir()?;
    let copy = copy_of_id(folder.path())?;
    expect_other_user(Command::new(copy).uid(OTHER_USER), "another user's program cannot run")
}

/// Runs a copy of `id` that is another user's and set-user-ID. It stands beside the test programs,
/// because the set-user-ID bit often has no effect in temporary folders.
fn run_set_user_id() -> io::Result<()> {
    let program = std::env::current_exe()?;
    let folder = program.parent().ok_or_else(|| Error::other("no folder"))?;
    let folder = tempfile::Builder::new().prefix("set-user-id-").tempdir_in(folder)?;
    let copy = copy_of_id(folder.path())?;
    chown(&copy, Some(OTHER_USER), None)?;
    fs::set_permissions(&copy, Permissions::from_mode(0o4755))?;
    expect_other_user(&mut Command::new(copy), "the set-user-ID bit has no effect here")
}

fn copy_of_id(folder: &Path) -> io::Result<PathBuf> {
    let copy = folder.join("id");
    fs::copy(find("id").ok_or_else(|| not_installed("id"))?, &copy)?;
    Ok(copy)
}

/// Has `id` print its effective user, which must be the other one, and not that of the tests.
fn expect_other_user(id: &mut Command, or: &str) -> io::Result<()> {
    if geteuid().as_raw() == OTHER_USER {
        return Err(Error::other(format!("the tests run as user {OTHER_USER} themselves")));
    }
    let output = id.arg("-u").output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if said.trim() == OTHER_USER.to_string() { Ok(()) } else { Err(Error::other(or)) }
}

/// Runs a command to its end, which must be a success.
fn finish(command: &mut Command) -> io::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| Error::new(e.kind(), format!("{name}: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("no error text");
    Err(Error::other(format!("{name} failed: {first}")))
}
