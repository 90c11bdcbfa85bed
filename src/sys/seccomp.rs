//! Makes the kernel refuse one system call to one thread, for tests of refusals.

use std::io;

use test_needs::Need;

use super::check;

/// The calls by which backends wait.
pub(crate) const WAITS: [libc::c_long; 5] = [
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait2,
    libc::SYS_io_uring_enter,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
];

/// Whether the kernel refuses filters here, so that the test must return at once.
#[track_caller]
#[must_use = "a test that lacks something must not go on"]
pub(crate) fn is_missing() -> bool {
    let attempt = std::thread::spawn(|| refuse(libc::SYS_reboot, libc::EPERM)).join();
    test_needs::refused(Need::SeccompFilter, &attempt.expect("it does not panic"))
}

/// Makes the call `number` fail with `errno` on the calling thread from now on (`seccomp(2)`).
pub(crate) fn refuse(number: libc::c_long, errno: i32) -> io::Result<()> {
    let load_number = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let jump_unless_equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let answer = libc::BPF_RET | libc::BPF_K;
    let step =
        |code: u32, otherwise, k| libc::sock_filter { code: code as u16, jt: 0, jf: otherwise, k };
    let mut steps = [
        step(load_number, 0, 0),
        step(jump_unless_equal, 1, number as u32),
        step(answer, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(answer, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: takes no pointer.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    // SAFETY: the program and its steps live across the call, which copies them; without
    // SECCOMP_FILTER_FLAG_TSYNC it concerns this thread only.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    })?;
    Ok(())
}
