"""What compare_drop_in measures: the event cores, upstream's benchmarks, and the targets."""

from dataclasses import dataclass

import child
from child import Failure

STOCK, OURS = "libevent", "evshard"
RUNS = 25  # that upstream's benchmarks make in a process
UNLOADED = "LD_TRACE_LOADED_OBJECTS=1"  # the dynamic linker lists the libraries, and does not start the program


@dataclass(frozen=True)
class Core:
    """An event core, and the environment variables by which a program loads it."""

    name: str
    variables: tuple = ()

    def argv(self, *command):
        """A command line that runs on this core. It begins with `env` for each, so that both start alike."""
        return ["env", *self.variables, *command]


def replaced(library):
    """Both cores for a program that needs the event core only. `library` is ours in a folder of `libevent.link`."""
    return Core(STOCK), Core(OURS, (f"LD_LIBRARY_PATH={library.parent}",))


def in_front(library):
    """Both cores for a program that uses more of libevent: ours is loaded before the distribution's."""
    return Core(STOCK), Core(OURS, (f"LD_PRELOAD={library}",))


def loaded(core, program, library):
    """The path of libevent's library that a program loads, None for none. Fail if its core is not the one named."""
    text = child.run(core.argv(UNLOADED, program), f"the dynamic linker for {program}")
    if (library.name in text) != (core.name == OURS):
        raise Failure(f"{program} does not load the core of {core.name} with {' '.join(core.variables) or 'no variables'}: "
                      "unset LD_PRELOAD and LD_LIBRARY_PATH")
    return distribution_library(text)


def distribution_library(text):
    """The path of libevent's library in a list of the dynamic linker, None for none."""
    lines = (line.split() for line in text.splitlines())
    return next((words[2] for words in lines if words[0].startswith("libevent") and len(words) > 2), None)


@dataclass(frozen=True)
class Benchmark:
    """A run of one of upstream's benchmarks, in which the unit of work is one event that is dispatched."""

    name: str
    program: str
    flags: tuple
    events: int  # in all runs of a process
    limit: float

    @property
    def descriptors(self):
        """How many descriptors it may open, as it asks the kernel."""
        return 2 * int(self.flags[1]) + 50


def chain(pipes, active, writes, limit=1.03):
    """The chain of socket pairs: events of descriptors that last."""
    flags = ("-n", str(pipes), "-a", str(active), "-w", str(writes))
    return Benchmark(f"bench {pipes}/{active}", "bench", flags, RUNS * (active + writes), limit)


def cascade(pipes):
    """The cascade: each event is added with a timeout and fires once."""
    return Benchmark(f"bench_cascade {pipes}", "bench_cascade", ("-n", str(pipes)), RUNS * pipes, 0.95)


def benchmarks(quick):
    """The cases, in the words of the targets. `quick` is for a smoke run."""
    if quick:
        return [chain(100, 1, 500), cascade(50)]
    return [chain(100, 1, 20_000), chain(1000, 100, 20_000), chain(5000, 100, 20_000), cascade(1000),
            cascade(4000)]


def counted_pairs(quick):
    """Benchmarks in two lengths, whose system calls are counted: the difference is that of the events."""
    if quick:
        return [(chain(10, 1, 10), chain(10, 1, 30)), (cascade(10), cascade(20))]
    return [(chain(100, 1, 200), chain(100, 1, 600)), (chain(1000, 100, 200), chain(1000, 100, 1000)),
            (cascade(200), cascade(400))]


# Instructions of an operation of benches/drop_in/operations.c.
OPERATION_LIMITS = {"read": 1.15, "timer": 1.3}


def parse_times(text, what):
    """The time of each run in seconds that one of upstream's benchmarks printed."""
    words = text.split()
    if len(words) != RUNS or not all(word.isdigit() for word in words):
        raise Failure(f"{what} printed no {RUNS} times: {text[:200]!r}")
    return [int(word) / 1e6 for word in words]
