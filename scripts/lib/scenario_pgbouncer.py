"""pgbouncer before a PostgreSQL of the scenario's own: pgbench, PAUSE, RESUME, RELOAD, timeouts, and the end."""

from pathlib import Path

from child import Failure
from scenario import USER, Scenario
from text_client import listens

CONFIGURATION = """\
[databases]
bench = host={folder} port={backend} dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
admin_users = admin
pool_mode = transaction
default_pool_size = {pool}
server_idle_timeout = {idle_s}
query_wait_timeout = {wait_s}
ignore_startup_parameters = extra_float_digits
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""
CLIENTS = 8
TRANSACTIONS = 100
PSQL = ("-F", "|", "--no-align", "--no-psqlrc", "--quiet")


def postgres_programs():
    """The folder of the newest PostgreSQL's programs, which Debian does not put into the search path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not folders:
        raise Failure("initdb is missing: install the Debian package postgresql")
    return folders[-1].parent


class Pool:
    """PostgreSQL, and pgbouncer before it."""

    def __init__(self, run):
        self.run = run
        self.port, self.backend = run.ports(2)
        self.programs = postgres_programs()
        run.client(self.programs / "initdb", "-D", run.folder / "data", "-U", "postgres", "--auth", "trust", "--no-sync",
                   user=USER)
        self.start_postgres()
        self.configure(pool=4, idle_s=600, wait_s=120)
        self.bouncer = run.start("pgbouncer", run.folder / "pgbouncer.ini", user=USER)
        run.wait(lambda: listens(("127.0.0.1", self.port)), "pgbouncer listens")

    def start_postgres(self):
        """Start the backend, and wait until it answers."""
        self.postgres = self.run.start(self.programs / "postgres", "-D", self.run.folder / "data", "-k", self.run.folder, "-p",
                                       self.backend, "-c", "listen_addresses=", "-c", "fsync=off", user=USER, stock=True)
        self.run.wait(lambda: listens(f"{self.run.folder}/.s.PGSQL.{self.backend}"), "PostgreSQL listens")

    def configure(self, **changes):
        """Write the configuration."""
        self.run.write("pgbouncer.ini", CONFIGURATION.format(folder=self.run.folder, backend=self.backend, port=self.port,
                                                             **changes))

    def sql(self, query, expected=(0,)):
        """A query through pgbouncer."""
        return self.run.client("psql", *PSQL, "--tuples-only", "-h", "127.0.0.1", "-p", self.port, "-U", "user", "-c",
                               query, "bench", expected=expected).strip()

    def admin(self, command, columns=(), expected=(0,)):
        """A command of the console; these columns of its rows."""
        output = self.run.client("psql", *PSQL, "-h", "127.0.0.1", "-p", self.port, "-U", "admin", "-c", command,
                                 "pgbouncer", expected=expected).splitlines()
        rows = [line.split("|") for line in output if "|" in line]
        return [" ".join(f"{name}={row[rows[0].index(name)]}" for name in columns) for row in rows[1:]]

    def start_client(self, query):
        """A query that runs while the scenario goes on."""
        return self.run.start("psql", *PSQL, "--tuples-only", "-h", "127.0.0.1", "-p", self.port, "-U", "user", "-c", query,
                              "bench", stock=True)

    def waiting(self):
        """How many clients wait for a connection to the backend."""
        return sum(int(row.split("=")[1]) for row in self.admin("SHOW POOLS", ["cl_waiting"]))


def benchmark(pool):
    """pgbench on more connections than pgbouncer has to the backend; what it left in the tables."""
    pgbench = pool.programs / "pgbench"
    where = ("-h", "127.0.0.1", "-p", pool.port, "-U", "user", "bench")
    pool.run.client(pgbench, "-i", "-q", *where)
    for protocol in ("simple", "extended"):
        output = pool.run.client(pgbench, "-n", "-M", protocol, "-c", CLIENTS, "-j", 2, "-t", TRANSACTIONS, *where)
        yield next(line for line in output.splitlines() if "actually processed" in line)
    yield pool.sql("SELECT count(*), sum(delta) = (SELECT sum(abalance) FROM pgbench_accounts) FROM pgbench_history")
    yield pool.admin("SHOW POOLS", ["database", "user", "cl_active", "cl_waiting", "pool_mode"])
    yield f"connections to the backend: {len(pool.admin('SHOW SERVERS', ['type']))}"


def pause(pool):
    """Clients wait while the pool is paused, and go on when it resumes. A client that waits too long gets an error."""
    pool.admin("PAUSE")
    clients = [pool.start_client(f"SELECT 'client {number}'") for number in range(3)]
    pool.run.wait(lambda: pool.waiting() == 3, "three clients wait in the pause")
    pool.admin("RESUME")
    yield [(pool.run.wait_end(client, "a client"), client.output.strip()) for client in clients]
    pool.configure(pool=1, idle_s=1, wait_s=1)
    pool.admin("RELOAD")
    config = dict(row.split(" ") for row in pool.admin("SHOW CONFIG", ["key", "value"]) if row.count(" ") == 1)
    yield [config[f"key={name}"] for name in ("default_pool_size", "query_wait_timeout", "server_idle_timeout")]
    pool.run.wait(lambda: not pool.admin("SHOW SERVERS", ["type"]), "connections to the backend end when they are idle")
    holder = pool.start_client("SELECT pg_sleep(4)")
    pool.run.wait(lambda: "active" in str(pool.admin("SHOW SERVERS", ["state"])), "the only connection is in use")
    yield pool.sql("SELECT 1", expected=(2,)).replace(str(pool.port), "PORT")
    yield pool.run.wait_end(holder, "the client that holds the connection")


def scenario(run):
    """All parts."""
    pool = Pool(run)
    yield pool.sql("SELECT 1 + 1")
    yield f"900 kB: {len(pool.sql('SELECT repeat(chr(120), 900000)'))} characters"
    yield pool.sql("SELECT nonsense", expected=(1,))
    yield from benchmark(pool)
    yield from pause(pool)
    pool.configure(pool=4, idle_s=600, wait_s=20)
    pool.admin("RELOAD")
    pool.postgres.stop()
    waiting = pool.start_client("SELECT 'after the restart of PostgreSQL'")
    run.wait(lambda: pool.waiting() == 1, "a client waits for the backend")
    pool.start_postgres()
    yield run.wait_end(waiting, "the client that waited"), waiting.output.strip()
    run.check_library(pool.bouncer.pid)
    pool.admin("SHUTDOWN", expected=(2,))  # it closes all connections
    yield f"after SHUTDOWN: {run.wait_end(pool.bouncer, 'pgbouncer')}"


SCENARIO = Scenario("pgbouncer", scenario, {
    "pgbouncer": "pgbouncer", "psql": "postgresql-client", "pg_createcluster": "postgresql",
})
