"""Stops one thread of another process, as SIGSTOP stops a whole process.

It uses ptrace(2), which a process may use on its children. One thread of this process must make all the calls.
"""

import contextlib
import ctypes
import os

import procfs
from child import Failure

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # waitpid: threads, too

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


def workers(pid):
    """The ids of the server's worker threads, in their order."""
    return [tid for _, tid in sorted((thread.name, tid) for tid, thread in procfs.sample(pid).threads.items()
                                     if thread.name.startswith("worker-"))]


@contextlib.contextmanager
def stopped(threads):
    """The threads are stopped while the block runs."""
    with contextlib.ExitStack() as held:
        for tid in threads:
            _ptrace(PTRACE_SEIZE, tid)
            held.callback(_ptrace, PTRACE_DETACH, tid)
            _ptrace(PTRACE_INTERRUPT, tid)
            os.waitpid(tid, WALL)
        yield


def _ptrace(request, tid):
    if _libc.ptrace(request, tid, None, None) < 0:
        raise Failure(f"ptrace({request:#x}) of thread {tid} failed: {os.strerror(ctypes.get_errno())}")
