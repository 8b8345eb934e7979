"""A house for a test: the gateway and several ingest processes, over real HTTP, Postgres, Kafka."""

import asyncio
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import aiohttp

from deploy.local import keys
from deploy.local.services import says_ready
from deploy.local.settings import ROOT
from libs.clock import utc_now
from libs.messaging.topics import ensure_topics, read_topics
from libs.postgres.migrate import migrate
from libs.security.tokens import SigningKey, issue

KEY = "a-key-of-the-scanners-that-is-long-enough"
PATIENCE_SECONDS = 30
ISSUER = "tillstream-gateway"


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """Where it answers, and what its programs are told."""

    gateway: str
    ingests: Sequence[str]
    env: dict[str, str]
    signing_key: SigningKey

    def bearer(self, *scopes: str, tenant: str = "demo") -> dict[str, str]:
        """What somebody shows who speaks to ingest directly."""
        token = issue(
            self.signing_key,
            subject="tester",
            tenant=tenant,
            scopes=scopes or ("scan:write", "scan:read", "scan:remove"),
            kind="api-key",
            audience="ingest",
            issuer=ISSUER,
            now=utc_now(),
            lifetime=timedelta(minutes=10),
        )
        return {"Authorization": f"Bearer {token}"}

    def run(self, *arguments: str) -> str:
        """`python -m …` with the house's environment, to its end; what it said."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def open_house(
    database: str,
    kafka_bootstrap: str,
    home: Path,
    *,
    ingests: int = 1,
    told: Mapping[str, str] | None = None,
) -> Iterator[House]:
    """Everything migrated, started and ready; stopped at the end. `told` are settings."""
    for service in ("ingest", "gateway"):
        migrate(service, database)
    prefix = f"t{uuid4().hex[:12]}"
    asyncio.run(ensure_topics(kafka_bootstrap, prefix, read_topics()))
    gateway, ports = free_port(), [free_port() for _ in range(ingests)]
    key_file = keys.signing_key(home, "signing_key.pem")
    env = os.environ | {
        "DATABASE_URL": database,
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "TILLSTREAM_TOPIC_PREFIX": prefix,
        "TILLSTREAM_PROFILE": "demo",
        "GATEWAY_INGEST_URL": f"http://127.0.0.1:{ports[0]}",
        "GATEWAY_SIGNING_KEY_FILE": str(key_file),
        "GATEWAY_SEAL_KEYS_FILE": str(keys.sealing_key(home, "seal_keys")),
        "GATEWAY_REFRESH_KEY_FILE": str(keys.sealing_key(home, "refresh_key")),
        "GATEWAY_SCAN_CLIENT_KEY": KEY,
        "GATEWAY_HTTP_PORT": str(gateway),
        "INGEST_JWKS_URL": f"http://127.0.0.1:{gateway}/.well-known/jwks.json",
        **(told or {}),
    }
    with ExitStack() as stack:
        for n, port in enumerate(ports):
            mine = env | {"INGEST_HTTP_PORT": str(port)}
            stack.enter_context(_program(home / f"ingest-{n}.log", mine, "services.ingest"))
        stack.enter_context(_program(home / "gateway.log", env, "services.gateway"))
        for port in (*ports, gateway):
            _wait_until_ready(port, home)
        yield House(
            gateway=f"http://127.0.0.1:{gateway}",
            ingests=[f"http://127.0.0.1:{port}" for port in ports],
            env=env,
            signing_key=SigningKey.from_pem(key_file.read_text()),
        )


async def post_until_known(url: str, body: object) -> None:
    """The clients' key opens the door as soon as the gateway's own projector has seen it."""
    async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as client:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                async with client.post(f"{url}/api/v1/events/verify", json=body) as answer:
                    if answer.status == 200:
                        return
                await asyncio.sleep(0.1)


@contextmanager
def _program(words: Path, env: dict[str, str], module: str) -> Iterator[None]:
    with words.open("wb") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", module, "run"], cwd=ROOT, env=env, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            running.terminate()
            running.wait(PATIENCE_SECONDS)


def _wait_until_ready(port: int, home: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not says_ready(port):
        assert time.monotonic() < deadline, f"{port} is not ready: {_said(port, home)}"
        time.sleep(0.1)


def _said(port: int, home: Path) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    with suppress(OSError), closing(connection):
        connection.request("GET", "/ready")
        return connection.getresponse().read().decode()
    return "\n".join(log.read_text()[-2000:] for log in home.glob("*.log"))
