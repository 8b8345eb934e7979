"""One PostgreSQL and one Kafka for the whole run, and installations of the services on them."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from deploy.local import keys, ports
from deploy.local.child import Program
from deploy.local.kafka import start_kafka
from deploy.local.postgres import query, start_postgres
from deploy.local.server import Server
from deploy.local.services import GATEWAY, SERVICES, Backends, Chore, Service, service_programs
from deploy.local.services import chores as declared_chores
from deploy.local.settings import ROOT, LocalSettings
from libs.security.tokens import SigningKey, issue, jwks
from tests.bench.generator import Target
from tests.bench.measure import Tell
from tests.bench.scans import TENANT

# Only what a measurement needs: the moment of every commit, and room for 32 clients more.
POSTGRES = {"track_commit_timestamp": "on", "max_connections": "200"}
UNLIMITED = {
    "GATEWAY_RATE_LIMIT_INGEST": "",
    "GATEWAY_RATE_LIMIT_DASHBOARD": "",
    "GATEWAY_RATE_LIMIT_LOGIN": "",
}
BATCH = "/api/v1/events/batch"
STATE = "/api/v1/dashboard/state"


class ChoreFailed(Exception):
    """A command that should have ended well did not; the message holds the end of its words."""


class House:
    """Use as a context manager: leaving it stops the servers and wipes their folder."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.kept: dict[int, Installation] = {}
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
            self.postgres_url, self.kafka_bootstrap = postgres.url, kafka.bootstrap
            self._exit = attempt.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    @contextmanager
    def installation(self, *, gateway: bool = False) -> "Iterator[Installation]":
        """A database, topics and a folder of its own; its programs are stopped at the end.

        Without `gateway` only ingest may be started.
        """
        with self.database() as url:
            yield from self._installed(
                url, [each for each in SERVICES if gateway or each != GATEWAY]
            )

    def keep(self, events: int) -> "Installation":
        """An installation that stays until the house is left."""
        self.kept[events] = self._exit.enter_context(self.installation())
        return self.kept[events]

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of an empty database, dropped afterwards."""
        self._made += 1
        name = f"bench_{self._made}"
        query(self.postgres_url, f"create database {name}")
        yield urlsplit(self.postgres_url)._replace(path=f"/{name}").geturl()
        query(self.postgres_url, f"drop database {name} with (force)", timeout_seconds=60)

    def _installed(self, url: str, services: Sequence[Service]) -> "Iterator[Installation]":
        settings = LocalSettings(
            home=self.home / f"installation-{self._made}",
            profile="demo",
            gateway_port=ports.free_port(),
            split=True,
        )
        backends = Backends(database_url=url, kafka_bootstrap=self.kafka_bootstrap)
        told = {"TILLSTREAM_TOPIC_PREFIX": f"bench{self._made}", **UNLIMITED}
        installation = Installation(settings=settings, backends=backends, told=told)
        try:
            for chore in declared_chores(tuple(services)):
                installation.run(chore)
            yield installation
        finally:
            installation.stop()


@dataclass(kw_only=True)
class Installation:
    """The services on a database of their own. Nothing runs until it is started."""

    settings: LocalSettings
    backends: Backends
    told: dict[str, str]
    running: dict[str, Server] = field(default_factory=dict)
    environment: dict[str, str] = field(init=False)
    """What its programs are told."""

    def __post_init__(self) -> None:
        # Once, while the ports are free: of a port in use it would make another.
        self._programs = service_programs(self.settings, SERVICES, self.backends)
        self.environment = {**self._programs[0].env, **self.told}

    @property
    def database_url(self) -> str:
        """A superuser's address."""
        return self.backends.database_url

    @property
    def prefix(self) -> str:
        """What stands before its topics."""
        return self.told["TILLSTREAM_TOPIC_PREFIX"]

    def run(self, chore: Chore) -> None:
        """Run a command of a service to its end. Raises `ChoreFailed`."""
        done = subprocess.run(
            [sys.executable, *chore.arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            raise ChoreFailed(f"{chore.name}: exit code {done.returncode}\n{done.stdout[-1500:]}")

    def start(self, *names: str) -> None:
        """Start programs by name (`ingest-api`, `gateway-worker`, …) and wait until ready."""
        programs = {program.name: program for program in self._programs}
        for name in names:
            self.launch(replace(programs[name], env=self.environment))

    def launch(self, program: Program) -> Server:
        """Start any program as part of the installation."""
        self.running[program.name] = Server(program=program)
        return self.running[program.name]

    def stop(self, *names: str) -> None:
        """Stop programs, all of them if none is named."""
        for name in names or tuple(reversed(self.running)):
            self.running.pop(name).stop()

    def publish_keys(self) -> None:
        """Stand in for the gateway as far as ingest needs it: the key set, from a file."""
        folder, port = self.settings.home / "keys", self.settings.gateway_port
        (folder / ".well-known").mkdir(parents=True, exist_ok=True)
        (folder / ".well-known" / "jwks.json").write_text(json.dumps(jwks([self._key()])))
        self.launch(
            Program(
                name="keys",
                command=(
                    *(sys.executable, "-m", "http.server", str(port)),
                    *("--bind", ports.LOOPBACK, "--directory", str(folder)),
                ),
                log_file=self.settings.home / "logs" / "keys.log",
                ready=lambda: ports.answers(port),
                pulse=lambda: ports.answers(port),
            )
        )

    def direct(self, path: str) -> Target:
        """A path of ingest itself, with a token."""
        token = issue(
            self._key(),
            subject="bench",
            tenant=TENANT,
            scopes=("scan:write", "scan:read"),
            kind="device",
            audience="ingest",
            issuer="tillstream-gateway",
            now=datetime.now(UTC),
            lifetime=timedelta(hours=3),
        )
        url = f"http://{ports.LOOPBACK}:{self.environment['INGEST_HTTP_PORT']}{path}"
        return Target(url=url, headers={"Authorization": f"Bearer {token}"})

    def through_gateway(self, path: str) -> Target:
        """The same path at the gateway, with the scanners' key."""
        key = keys.token(self.settings.home, "scan_client_key").read_text()
        url = f"http://{ports.LOOPBACK}:{self.settings.gateway_port}{path}"
        return Target(url=url, headers={"X-API-Key": key})

    def _key(self) -> SigningKey:
        file = keys.signing_key(self.settings.home, "gateway_signing_key.pem")
        return SigningKey.from_pem(file.read_text())
