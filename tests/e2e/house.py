"""The one kit that starts the platform's programs, for tests as well as for measurements.

A `House` runs services on a database and a broker that are given. A `Site` is a whole `make up` or
`make demo` with servers of its own. Both wait as long as a program lives and makes progress, and
fail at once with the end of its log when it has ended: see `deploy.local.child.Patience`.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
from typer import Typer
from typer.testing import CliRunner

from deploy.local import keys, ports
from deploy.local.child import Child, Program, wait_ready
from deploy.local.files import tail
from deploy.local.postgres import query
from deploy.local.runtime import read_runtime
from deploy.local.services import GATEWAY, SERVICES, Backends, Service, service_programs
from deploy.local.settings import ROOT, LocalSettings
from libs.clock import utc_now
from libs.messaging.topics import ensure_topics, read_topics
from libs.postgres.migrate import migrate
from libs.security.tokens import SigningKey, issue
from libs.testing.polling import eventually
from services.gateway.api_keys import handlers as api_keys
from services.gateway.api_keys.read_models import keys_of
from services.gateway.bootstrap import SERVICE as GATEWAY_SERVICE
from services.gateway.settings import Settings as GatewaySettings

INGEST = SERVICES[0]
SCOPES = ("scan:write", "scan:read", "scan:remove")
UNLIMITED = {
    f"GATEWAY_RATE_LIMIT_{what}": ""
    for what in (
        "INGEST",
        "DASHBOARD",
        "REMOVAL",
        "EXPORT",
        "LOGIN",
        "FAILED_LOGIN",
        "REGISTRATION",
    )
}
SITE_STOP_SECONDS = 60.0
SLOW_STATEMENT_SECONDS = 120.0
POLL_SECONDS = 0.05


class ProgramFailed(Exception):
    """A program ended where it should have gone on, or ended badly; with the end of its log."""


@contextmanager
def own_database(postgres_url: str, prefix: str = "house") -> Iterator[str]:
    """The address of an empty database, dropped afterwards."""
    name = f"{prefix}_{uuid4().hex[:12]}"
    ask = partial(query, postgres_url, timeout_seconds=SLOW_STATEMENT_SECONDS)
    ask(f"create database {name}")
    try:
        yield urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
    finally:
        ask(f"drop database {name} with (force)")


@dataclass(kw_only=True)
class House:
    """Services on given servers. `overrides` are settings beside those of an installation."""

    settings: LocalSettings
    backends: Backends
    services: tuple[Service, ...] = (INGEST, GATEWAY)
    overrides: Mapping[str, str] = field(default_factory=dict)
    running: dict[str, Child] = field(default_factory=dict)

    def __post_init__(self) -> None:
        programs = service_programs(self.settings, self.services, self.backends)
        prefix = {"TILLSTREAM_TOPIC_PREFIX": f"t{uuid4().hex[:12]}"}
        self.overrides = {**prefix, **self.overrides}
        self.environment = {**programs[0].env, **self.overrides}
        self.programs = {one.name: replace(one, env=self.environment) for one in programs}

    @property
    def database_url(self) -> str:
        """A superuser's address."""
        return self.backends.database_url

    @property
    def prefix(self) -> str:
        """What stands before its topics."""
        return self.overrides["TILLSTREAM_TOPIC_PREFIX"]

    @property
    def gateway(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.settings.gateway_port}"

    @property
    def ingests(self) -> list[str]:
        """Where every running process of ingest answers."""
        return [
            str(child.program.url)
            for name, child in self.running.items()
            if name.startswith("ingest") and not name.endswith("worker")
        ]

    @property
    def key(self) -> str:
        """The key that all scanners share, of the tenant `demo`."""
        return keys.token(self.settings.home, "scan_client_key").read_text()

    @property
    def signing_key(self) -> SigningKey:
        file = keys.signing_key(self.settings.home, "gateway_signing_key.pem")
        return SigningKey.from_pem(file.read_text())

    def prepare(self) -> None:
        asyncio.run(ensure_topics(self.backends.kafka_bootstrap, self.prefix, read_topics()))
        for service in self.services:
            migrate(service.name, self.database_url)

    def start(self, *names: str) -> None:
        """Start programs by name (`ingest`, `gateway-worker`, …) side by side; wait until ready."""
        self.launch(*(self.programs[name] for name in names))

    def launch(self, *programs: Program) -> None:
        """Start any programs as part of the house."""
        started = {program.name: Child(program) for program in programs}
        self.running |= started
        for child in started.values():
            wait_ready(child)

    def another_ingest(self, number: int) -> Program:
        """One more process of ingest, at a port of its own."""
        there = replace(self.settings, home=self.settings.home / f"ingest-{number}")
        (program, *_) = service_programs(there, (INGEST,), self.backends)
        port = {"INGEST_HTTP_PORT": str(program.port)}
        return replace(program, name=f"ingest-{number}", env={**self.environment, **port})

    def stop(self, *names: str) -> None:
        for name in names or tuple(reversed(self.running)):
            self.running.pop(name).stop()

    def run(self, *arguments: str) -> str:
        """`python -m …` with the house's environment, to its end; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ProgramFailed(f"{arguments}: exit code {done.returncode}\n{done.stdout[-2000:]}")
        return done.stdout

    async def invoke(self, app: Typer, *arguments: str) -> str:
        """A command of a service in this process, which saves the imports; what it printed."""
        done = await asyncio.to_thread(
            CliRunner().invoke, app, [*arguments], env=self.environment, catch_exceptions=False
        )
        if done.exit_code != 0:
            raise ProgramFailed(f"{arguments}: exit code {done.exit_code}\n{done.output}")
        return done.output

    def bearer(
        self, *scopes: str, tenant: str = "demo", audience: str = "ingest"
    ) -> dict[str, str]:
        """The header of a caller who speaks to a service directly."""
        token = issue(
            self.signing_key,
            subject="tester",
            tenant=tenant,
            scopes=scopes or SCOPES,
            kind="api-key",
            audience=audience,
            issuer="tillstream-gateway",
            now=utc_now(),
            lifetime=timedelta(hours=3),
        )
        return {"Authorization": f"Bearer {token}"}

    @asynccontextmanager
    async def client(self, *, tenant: str = "") -> AsyncIterator[aiohttp.ClientSession]:
        """A client at the gateway with a new key, by default of a new tenant."""
        settings = GatewaySettings.from_env("GATEWAY", self.environment)
        tenant = tenant or f"tenant-{uuid4().hex[:12]}"
        async with GATEWAY_SERVICE.open_context(settings) as context:
            issued = await api_keys.issue(
                context.store, tenant=tenant, name="a test", scopes=SCOPES, actor="a test"
            )

            async def is_listed() -> bool:
                return issued.key_id in [
                    one.key_id for one in await keys_of(context.system, tenant)
                ]

            # A door that was asked too early remembers for two seconds that the key is unknown.
            await eventually(is_listed)
        async with self.client_with(issued.key) as client:
            yield client

    @asynccontextmanager
    async def client_with(self, key: str) -> AsyncIterator[aiohttp.ClientSession]:
        """A client with a key, as soon as the gateway's own projector has seen the key."""
        async with aiohttp.ClientSession(self.gateway, headers={"X-API-Key": key}) as client:
            await eventually(lambda: _status(client, "/api/v1/quarantine"), 200, what="the key")
            yield client


async def _status(client: aiohttp.ClientSession, path: str) -> int:
    async with client.get(path) as answer:
        return answer.status


@contextmanager
def open_house(database: str, kafka_bootstrap: str, **overrides: str) -> Iterator[House]:
    """Gateway and two processes of ingest, migrated, started and ready; stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="tillstream-house-") as home:
        house = new_house(Path(home), database, kafka_bootstrap, **overrides)
        try:
            house.launch(*house.programs.values(), house.another_ingest(2))
            yield house
        finally:
            house.stop()


def new_house(home: Path, database: str, kafka_bootstrap: str, **overrides: str) -> House:
    """A house of gateway and ingest, migrated; nothing of it runs."""
    house = House(
        settings=LocalSettings(home=home, profile="demo", gateway_port=ports.free_port()),
        backends=Backends(database_url=database, kafka_bootstrap=kafka_bootstrap),
        overrides={**UNLIMITED, **overrides},
    )
    house.prepare()
    return house


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A whole installation in a folder of its own, whose programs have a supervisor."""

    home: Path
    supervisor: Child

    @property
    def output(self) -> str:
        return self.supervisor.program.log_file.read_text()

    @property
    def url(self) -> str:
        return gateway_url(self.home)

    def process(self, name: str) -> dict[str, Any]:
        known: dict[str, Any] = processes(self.home).get(name, {})
        return known

    async def eventually(
        self, condition: Callable[[], object | Awaitable[object]], what: str
    ) -> None:
        """Wait until it holds, as long as the supervisor lives and logs grow."""

        def tried() -> object:
            if (code := self.supervisor.exit_code()) is not None:
                log = self.supervisor.program.log_file
                raise ProgramFailed(f"the supervisor ended ({code}): {tail(log, lines=40)}")
            return condition()

        await eventually(tried, what=what, progress=self.progress, poll_seconds=POLL_SECONDS)

    def progress(self) -> int:
        """Grows while anything is logged."""
        logs = [self.supervisor.program.log_file, *self.home.glob("logs/*.log")]
        return sum(log.stat().st_size for log in logs)

    async def kill(self, name: str) -> None:
        """End a program with SIGKILL, and wait until the supervisor has another one ready."""
        before = self.process(name)["pid"]
        with suppress(ProcessLookupError):
            os.kill(before, signal.SIGKILL)

        def is_back() -> bool:
            now = self.process(name)
            return now.get("pid") not in (None, before) and now.get("state") == "ready"

        await self.eventually(is_back, f"{name} is back")

    async def end(self) -> int:
        """Wait until the supervisor ends by itself, as long as logs grow; its exit code."""
        child = self.supervisor
        await eventually(
            lambda: child.exit_code() is not None,
            what="the end of the supervisor",
            progress=self.progress,
            poll_seconds=POLL_SECONDS,
        )
        return int(child.exit_code() or 0)


def processes(home: Path) -> dict[str, dict[str, Any]]:
    """What is known of the programs of the site in a folder, by name."""
    runtime: dict[str, Any] = read_runtime(home) or {}
    return dict(runtime.get("processes", {}))


def gateway_url(home: Path) -> str:
    """Where the gateway of the site in a folder answers; nothing while it is not ready."""
    gateways = (one for name, one in processes(home).items() if name in ("gateway", "gateway-api"))
    return next((str(one["url"]) for one in gateways if one["state"] == "ready"), "")


@contextmanager
def open_site(home: Path, module: str = "deploy.local", **overrides: str) -> Iterator[Site]:
    """`make up`, or `make demo` with `deploy.demo`, in a folder: everything ready, stopped in the
    end. `overrides` are variables of its environment."""
    program = Program(
        name=module,
        command=(sys.executable, "-m", module, *(["up"] if module == "deploy.local" else [])),
        log_file=home / "site.log",
        ready=lambda: _is_up(home),
        pulse=lambda: _is_up(home),
        cwd=ROOT,
        env={
            "DATABASE_URL": "",
            "KAFKA_BOOTSTRAP_SERVERS": "",
            "TILLSTREAM_PROFILE": "demo",
            "TILLSTREAM_DATA": str(home),
            "GATEWAY_PORT": str(ports.free_port()),
            **overrides,
        },
        grace_seconds=SITE_STOP_SECONDS,
    )
    supervisor = Child(program)
    try:
        wait_ready(supervisor)
        yield Site(home=home, supervisor=supervisor)
    finally:
        supervisor.stop()


def _is_up(home: Path) -> bool:
    states = [one["state"] for one in processes(home).values()]
    return bool(gateway_url(home)) and set(states) == {"ready"}
