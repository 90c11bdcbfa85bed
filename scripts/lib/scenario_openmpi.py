"""Open MPI: two ranks that mpirun starts. Open MPI and its PMIx run on libevent in all three processes."""

import re

from scenario import Scenario, descendants

# The rank program calls the library of Open MPI by ctypes, so no compiler of MPI is needed.
RANK = """\
import ctypes, os, pathlib, sys, time
mpi = ctypes.CDLL("libmpi.so.40", ctypes.RTLD_GLOBAL)
world = ctypes.byref(ctypes.c_char.in_dll(mpi, "ompi_mpi_comm_world"))
kind = ctypes.byref(ctypes.c_char.in_dll(mpi, "ompi_mpi_byte"))
mpi.MPI_Init(None, None)
rank, size = ctypes.c_int(), ctypes.c_int()
mpi.MPI_Comm_rank(world, ctypes.byref(rank))
mpi.MPI_Comm_size(world, ctypes.byref(size))
folder = pathlib.Path(sys.argv[1])
(folder / f"rank{rank.value}").touch()
deadline = time.monotonic() + 30
while not (folder / "go").exists() and time.monotonic() < deadline:
    time.sleep(0.02)
total = 0
for number in range(500):
    length = 1 + number * 997
    sent, received = ctypes.create_string_buffer(bytes([rank.value + 1]) * length, length), ctypes.create_string_buffer(length)
    mpi.MPI_Sendrecv(sent, length, kind, 1 - rank.value, number, received, length, kind, 1 - rank.value, number, world, None)
    total += received.raw.count(bytes([2 - rank.value]))
mpi.MPI_Barrier(world)
print(f"rank {rank.value} of {size.value} received {total} right bytes", flush=True)
mpi.MPI_Finalize()
"""
ENVIRONMENT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
               "OMPI_MCA_btl": "self,tcp", "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo"}


def scenario(run):
    """Messages between the ranks; programs that fail; a program without MPI."""
    program = run.write("rank.py", RANK)
    server = run.start("mpirun", "-n", 2, "python3", program, run.folder, variables=ENVIRONMENT)
    run.wait(lambda: all((run.folder / f"rank{rank}").exists() for rank in range(2)), "both ranks have initialised MPI")
    for pid in (server.pid, *descendants(server.pid)):
        run.check_library(pid)
    (run.folder / "go").touch()
    yield f"mpirun: {run.wait_end(server, 'mpirun')}"
    yield sorted(re.findall("rank [0-9] of 2 received [0-9]+ right bytes", server.output))
    output = run.client("mpirun", "-n", 4, "sh", "-c", "echo from $OMPI_COMM_WORLD_RANK", stock=False, variables=ENVIRONMENT)
    yield sorted(output.splitlines())
    run.client("mpirun", "-n", 2, "sh", "-c", "exit 7", stock=False, variables=ENVIRONMENT, expected=(7,))
    yield "the status of a rank is that of mpirun"


SCENARIO = Scenario("openmpi", scenario, {"mpirun": "openmpi-bin"})
