"""restricted: runs a command as on a restricted machine. It uses namespaces, so the machine does not change."""

import argparse
import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = "scripts/restricted.sh"
RESTRICTIONS = ("user", "kernel", "io_uring", "descriptors", "ipv6", "programs")
USER_ID = 1000  # an ordinary user, who owns the files of the caller in the namespace
HIDDEN_PROGRAMS = ("chromium", "haproxy", "promtool")
# The numbers are the same on every architecture, as for all system calls since Linux 5.1.
IO_URING_CALLS = (425, 426, 427)  # io_uring_setup, io_uring_enter, io_uring_register
# Kernel -> the lowest number that it does not have, for kernels with long-term support. Numbers are given in order.
FIRST_MISSING_CALL = {
    "5.4": 436,  # close_range (5.9), openat2 (5.6), epoll_pwait2 (5.11), ...
    "5.10": 441,  # epoll_pwait2 (5.11), mount_setattr (5.12), ...
    "5.15": 449,  # futex_waitv (5.16), ...
    "6.1": 451,  # cachestat (6.5), ...
}

# <linux/sched.h>, <linux/prctl.h>, <linux/seccomp.h>, <linux/bpf_common.h>, <linux/sockios.h>, <linux/if.h>
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000
BPF_LD_W_ABS, BPF_JEQ_K, BPF_JGE_K, BPF_RET_K = 0x20, 0x15, 0x35, 0x06
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """struct sock_fprog: a socket filter."""

    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


def parse_arguments():
    """The command line of restricted.sh."""
    parser = argparse.ArgumentParser(
        prog=SCRIPT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        description="Runs a command as on a restricted machine, and exits with the status of the command.\n"
        "The restrictions are:\n"
        f"  user         the command runs as an ordinary user (id {USER_ID}) without capabilities\n"
        "  kernel       the system calls that are newer than Linux --kernel fail with ENOSYS\n"
        "  io_uring     the system calls of io_uring fail with EPERM, as in a container\n"
        "  descriptors  the hard limit of open files is that of --descriptors\n"
        "  ipv6         the network is a namespace with a loopback interface and without IPv6\n"
        f"  programs     PATH does not have {', '.join(HIDDEN_PROGRAMS)}\n"
        "The script needs user namespaces, and no rights. The command has access to the caller's files.",
        epilog=f"example:\n  {SCRIPT} cargo test --workspace\n  {SCRIPT} --only io_uring,ipv6 cargo test --test event",
    )
    parser.add_argument("--only", default=",".join(RESTRICTIONS), metavar="LIST",
                        help="apply only these restrictions (default: all)")
    parser.add_argument("--descriptors", type=int, default=1024, metavar="N",
                        help="hard limit of open files (default 1024)")
    parser.add_argument("--kernel", choices=FIRST_MISSING_CALL, default="5.4",
                        help="have the system calls of this kernel only (default 5.4)")
    parser.add_argument("command", metavar="COMMAND")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT")
    args = parser.parse_args()
    args.only = args.only.split(",")
    if unknown := set(args.only) - set(RESTRICTIONS):
        parser.error(f"--only names {', '.join(sorted(unknown))}; the restrictions are {', '.join(RESTRICTIONS)}")
    return args


def main():
    """Restrict this process, then execute the command, which inherits the restrictions."""
    args = parse_arguments()
    environment = dict(os.environ)
    with contextlib.ExitStack() as at_end:
        if "programs" in args.only:
            folder = at_end.enter_context(tempfile.TemporaryDirectory(prefix="restricted-"))
            environment["PATH"] = path_without(HIDDEN_PROGRAMS, Path(folder))
        try:
            restrict(args)
            # Without a temporary folder, there is nothing to do after the command, so it can replace this process.
            if "programs" not in args.only:
                os.execvpe(args.command, [args.command, *args.arguments], environment)
            ended = run([args.command, *args.arguments], environment)
        except FileNotFoundError:
            sys.exit(f"error: cannot start {args.command}: no such program")
        except (OSError, ValueError) as error:
            sys.exit(f"error: {error}")
    sys.exit(ended if ended >= 0 else 128 - ended)


def restrict(args):
    """Apply the restrictions. The namespaces are first, because a seccomp filter may forbid the calls for them."""
    if "ipv6" in args.only:
        enter_network_namespace()
    if "user" in args.only:
        enter_user_namespace(USER_ID, USER_ID)
    if "descriptors" in args.only:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard != resource.RLIM_INFINITY and args.descriptors > hard:
            raise ValueError(f"--descriptors {args.descriptors} is above the hard limit of open files, {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (args.descriptors, args.descriptors))
    if "kernel" in args.only:
        refuse_calls_from(FIRST_MISSING_CALL[args.kernel], errno.ENOSYS)
    if "io_uring" in args.only:
        refuse_calls(IO_URING_CALLS, errno.EPERM)  # the filter that is set last decides the error


def run(command, environment):
    """Run the command to its end, and forward signals to it. Returns the status as `subprocess` does."""
    process = subprocess.Popen(command, env=environment)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A Ctrl-C in a terminal reaches the command without this script, so SIGINT is not forwarded.
        signal.signal(number, lambda number, _: number != signal.SIGINT and process.send_signal(number))
    return process.wait()


def path_without(hidden, folder):
    """Fill the folder with a link to every program of PATH except the hidden ones. Returns the new PATH."""
    for place in os.get_exec_path():
        for program in Path(place).glob("*"):
            link = folder / program.name
            if program.name not in hidden and not link.is_symlink() and os.access(program, os.X_OK):
                link.symlink_to(program)
    return str(folder)


def enter_user_namespace(user, group):
    """Enter a user namespace in which the caller has this user id. If the id is not 0, an exec drops all rights."""
    outside = os.getuid(), os.getgid()
    _unshare(CLONE_NEWUSER, "a user namespace")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {outside[0]} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {outside[1]} 1")


def enter_network_namespace():
    """Enter a network namespace that has only a loopback interface, which cannot have an IPv6 address."""
    enter_user_namespace(0, 0)
    _unshare(CLONE_NEWNET, "a network namespace")
    switch = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    if switch.exists():
        switch.write_text("1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | IFF_UP, b""))


def refuse_calls(numbers, code):
    """Make these system calls fail with the errno `code`, in this process and its children (`seccomp(2)`)."""
    tests = [(BPF_JEQ_K, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    _refuse_where(tests, code)


def refuse_calls_from(number, code):
    """Make the system calls from this number up fail with the errno `code`."""
    _refuse_where([(BPF_JGE_K, 1, 0, number)], code)


def _refuse_where(tests, code):
    """Set a filter: a test that holds jumps to its last step, which refuses the call."""
    steps = [(BPF_LD_W_ABS, 0, 0, 0), *tests]  # the number is the first field of struct seccomp_data
    steps += [(BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW), (BPF_RET_K, 0, 0, SECCOMP_RET_ERRNO | code)]
    packed = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = _Program(len(steps), packed)
    _checked(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "give up the right to gain rights")
    _checked(_libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0), "set a seccomp filter")


def _unshare(kind, name):
    _checked(_libc.unshare(kind), f"create {name} (if it is forbidden here, run as root, or omit user and ipv6: see --only)")


def _checked(result, what):
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot {what}: {os.strerror(code)}")


if __name__ == "__main__":
    main()
