"""gearmand with four threads: jobs in the foreground and in the background, workers that end, and the admin protocol."""

from concurrent.futures import ThreadPoolExecutor

from scenario import Scenario
from text_client import TextClient, listens

JOBS = 40


def scenario(run):
    """All parts."""
    address = ("127.0.0.1", run.ports(1)[0])
    server = run.start("gearmand", "-L", address[0], "-p", address[1], "-t", 4, "-l", run.folder / "gearmand.log",
                       "-P", run.folder / "gearmand.pid", "--verbose", "INFO")
    run.wait(lambda: listens(address), "gearmand listens")

    def gearman(*words, text=None):
        return run.client("gearman", "-h", address[0], "-p", address[1], *words, text=text)

    def admin(request):
        with TextClient(address) as client:
            return client.ask(f"{request}\n".encode(), b".\n" if request in ("status", "workers") else b"\n")

    def worker(function, *command):
        return run.start("gearman", "-h", address[0], "-p", address[1], "-w", "-f", function, *command, stock=True)

    def status_is(line):
        return lambda: line in admin("status").splitlines()

    workers = [worker("reverse", "rev") for _ in range(2)] + [worker("length", "--", "wc", "-c")]
    run.wait(status_is("reverse\t0\t0\t2"), "both workers of reverse are known")
    run.wait(status_is("length\t0\t0\t1"), "the worker of length is known")
    yield sorted(admin("status").splitlines())
    with ThreadPoolExecutor(8) as pool:
        yield sorted(pool.map(lambda number: gearman("-f", "reverse", text=f"job {number}\n").strip(), range(JOBS)))
    yield gearman("-f", "length", text="x" * 900_000).strip()
    yield gearman("-f", "reverse", "-u", "one", "-I", text="high\n").strip()
    for number in range(5):
        gearman("-b", "-f", "later", text=f"background {number}\n")
    yield sorted(admin("status").splitlines())
    output = run.folder / "later.txt"
    workers.append(worker("later", "--", "tee", "-a", output))
    run.wait(status_is("later\t0\t0\t1"), "a late worker does the jobs of the background")
    yield sorted(output.read_text().splitlines())
    for one in workers:
        one.stop()
    run.wait(status_is("reverse\t0\t0\t0"), "gearmand notices that its workers have ended")
    yield sorted(admin("status").splitlines())
    for request in ("version", "maxqueue reverse 1", "create function made", "drop function made", "nonsense", "verbose"):
        yield f"{request}: {admin(request)}"
    run.check_library(server.pid)
    server.stop()
    yield f"at SIGTERM: {server.status}"


SCENARIO = Scenario("gearmand", scenario, {"gearmand": "gearman-job-server", "gearman": "gearman-tools"})
