"""One PostgreSQL and one Kafka for the whole run, and on them installations and a peer."""

import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import asyncpg

from contracts.ingest import SCANS
from deploy.local import ports
from deploy.local.child import Program
from deploy.local.kafka import start_kafka
from deploy.local.postgres import query, start_postgres
from deploy.local.server import Server
from deploy.local.services import Backends, Service, fetch
from deploy.local.settings import ROOT, LocalSettings
from libs.messaging.topics import topic_name
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.security.tokens import jwks
from tests.bench import bare, peer
from tests.bench.generator import Target
from tests.bench.measure import Tell
from tests.bench.meter import Meter
from tests.e2e.house import INGEST, UNLIMITED, House, own_database

# Only what a measurement needs: the moment of every commit, and room for 32 clients more.
POSTGRES: Final = {"track_commit_timestamp": "on", "max_connections": "200"}
BATCH: Final = "/api/v1/events/batch"
STATE: Final = "/api/v1/dashboard/state"
PEER_KEY: Final = "a-key-for-the-peer-only"
FILL_SECONDS: Final = 300.0
SCOPES: Final = ("scan:write", "scan:read")
SHOP_TENANT: Final = "shop-7"
SHOP_SCOPES: Final = ("shop:orders", "shop:warehouse", "shop:customers")


class Servers:
    """Use as a context manager: leaving it stops the servers and wipes their folder."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.kept_running: dict[int, Installation] = {}
        """Installations that hold so many events, for the lines that need many."""
        self.caught_up: dict[int, float] = {}
        """How many events a second their worker took in from an empty start."""
        self._exit = ExitStack()
        self._made = 0

    def __enter__(self) -> Self:
        with ExitStack() as attempt:
            self.home = Path(tempfile.mkdtemp(prefix="tillstream-bench-"))
            attempt.callback(shutil.rmtree, self.home, ignore_errors=True)
            self.tell("starting PostgreSQL")
            postgres = attempt.enter_context(start_postgres(self.home, settings=POSTGRES))
            self.tell("starting Kafka")
            kafka = attempt.enter_context(start_kafka(self.home, tell=self.tell))
            self.postgres, self.kafka = postgres, kafka
            self.postgres_url, self.kafka_bootstrap = postgres.superuser_url, kafka.bootstrap
            self._exit = attempt.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    @contextmanager
    def installation(self, *services: Service) -> "Iterator[Installation]":
        """A database, topics and a folder of its own; its programs are stopped at the end.

        Only the given services may be started, by default ingest.
        """
        self._made += 1
        home = self.home / f"installation-{self._made}"
        port = ports.free_port()
        with own_database(self.postgres_url, "bench") as url:
            installation = Installation(
                settings=LocalSettings(home=home, profile="demo", gateway_port=port, split=True),
                backends=Backends(database_url=url, kafka_bootstrap=self.kafka_bootstrap),
                services=services or (INGEST,),
                overrides=UNLIMITED,
            )
            try:
                installation.prepare()
                yield installation
            finally:
                installation.stop()

    def keep_running(self, events: int) -> "Installation":
        """An installation that stays until the servers are left."""
        self.kept_running[events] = self._exit.enter_context(self.installation())
        return self.kept_running[events]


class Installation(House):
    """The services on a database of their own. Nothing runs until it is started."""

    @asynccontextmanager
    async def connected(self, **options: Any) -> AsyncIterator[Any]:
        """A superuser's connection."""
        connection: Any = await asyncpg.connect(self.database_url, **options)
        try:
            yield connection
        finally:
            await connection.close()

    def pids(self) -> dict[str, int]:
        """The processes of what runs, by the programs' names."""
        return {name: child.pid for name, child in self.running.items()}

    @asynccontextmanager
    async def pool(self, size: int, *, synchronous_commit: bool = True) -> AsyncIterator[Pool]:
        """Connections as the relay has them, or, without waiting, the runner."""
        pool = await open_pool(
            self.database_url,
            role=application_role("ingest"),
            schema="ingest",
            size=size,
            application_name="ingest, in this process",
            tenant_scope=SYSTEM,
            synchronous_commit=synchronous_commit,
        )
        yield pool
        await pool.close()

    def publish_keys(self) -> None:
        """Stand in for the gateway as far as services need it: the key set and a shop without
        staff, from files."""
        folder, port = self.settings.home / "keys", self.settings.gateway_port
        shop: dict[str, Any] = {"name": "Bench", "city": "", "phone": None, "staff": []}
        for path, content in (
            (".well-known/jwks.json", jwks([self.signing_key])),
            (f"internal/shops/{SHOP_TENANT}", shop),
        ):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(json.dumps(content))
        words = ("http.server", str(port), "--bind", ports.LOOPBACK, "--directory", str(folder))
        self.launch(answering(port, self.settings.home, "keys", *words))

    def direct(self, path: str) -> Target:
        """A path of ingest itself, with a token."""
        url = f"http://{ports.LOOPBACK}:{self.environment['INGEST_HTTP_PORT']}{path}"
        return Target(url=url, headers=self.bearer(*SCOPES))

    def shop(self, path: str) -> Target:
        """A path of the shop itself, with the token of a member of its staff."""
        url = f"http://{ports.LOOPBACK}:{self.environment['SHOP_HTTP_PORT']}{path}"
        headers = self.bearer(*SHOP_SCOPES, tenant=SHOP_TENANT, audience="shop")
        return Target(url=url, headers=headers)

    def through_gateway(self, path: str) -> Target:
        """The same path at the gateway, with the scanners' key."""
        return Target(url=f"{self.gateway}{path}", headers={"X-API-Key": self.key})

    def launch_bare(self) -> Target:
        """Start the bare line on copies of ingest's tables, nothing else of it running; its way
        in, where every path that is read answers the state."""
        query(self.database_url, bare.CREATE)
        port = ports.free_port()
        env = {
            "DATABASE_URL": self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.backends.kafka_bootstrap,
            "TOPIC": topic_name(self.prefix, SCANS),
        }
        api = answering(port, self.settings.home, "bare-api", *granian("bare:app", port))
        worker = replace(
            answering(port, self.settings.home, "bare-worker", "tests.bench.bare"),
            ready=lambda: True,
            pulse=lambda: True,
        )
        self.launch(*(replace(program, env=env) for program in (api, worker)))
        return Target(url=f"http://{ports.LOOPBACK}:{port}", headers={})


def granian(app: str, port: int, *words: str) -> tuple[str, ...]:
    """The words that serve an application of the bench with one process."""
    served = ("--host", ports.LOOPBACK, "--port", str(port), "--workers", "1", "--loop", "uvloop")
    return ("granian", "--interface", "asgi", f"tests.bench.{app}", *served, *words)


def answering(port: int, home: Path, name: str, *words: str) -> Program:
    """`python -m …`, which answers at a port, with its log below `home`."""
    return Program(
        name=name,
        command=(sys.executable, "-m", *words),
        log_file=home / "logs" / f"{name}.log",
        ready=lambda: ports.answers(port),
        pulse=lambda: ports.answers(port),
        cwd=ROOT,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """A running peer: the address of its database, its process, and where its paths are."""

    database_url: str
    url: str
    pid: int

    def meter(self, servers: Servers) -> Meter:
        """Also of the connections that it opens for one request, if there are any."""
        postgres = servers.postgres.pid
        return Meter(self.database_url, lambda: {"peer": self.pid}, postgres=postgres)

    def fill(self, events: int) -> None:
        """Let it have so many scans of today, of as many operators as our generator's."""
        for sql in (peer.FILL.format(events=events), "VACUUM ANALYZE events"):
            query(self.database_url, sql, timeout_seconds=FILL_SECONDS)

    def at(self, path: str) -> Target:
        return Target(url=f"{self.url}{path}", headers={"X-API-Key": PEER_KEY})


@contextmanager
def open_peer(
    servers: Servers, app: str = "peer", *, connections: int | None = None
) -> Iterator[Peer]:
    """The peer in this module, which has as many processes as our API has: one; its pool is the
    seed's, or has so many connections.
    """
    pool = {} if connections is None else {"CONNECTIONS": str(connections)}
    port = ports.free_port()
    words = granian(f"{app}:create_app", port, "--factory")
    with own_database(servers.postgres_url, "bench") as database:
        asyncpg_url = database.replace("postgresql://", "postgresql+asyncpg://", 1)
        program = replace(
            answering(port, servers.home, "peer", *words),
            ready=lambda: fetch(port, "/openapi.json") is not None,
            env={"DATABASE_URL": asyncpg_url, "API_KEY": PEER_KEY, **pool},
        )
        with Server(program=program) as server:
            url = f"http://{ports.LOOPBACK}:{port}"
            yield Peer(database_url=database, url=url, pid=server.pid)
