"""The table of services: what runs, in which order, with which environment."""

import http.client
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from deploy.local import keys, ports
from deploy.local.child import Program
from deploy.local.settings import ROOT, LocalSettings

Role: TypeAlias = Literal["run", "api", "worker"]
ASK_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One service: its name, and the module that is run with `run`, `api`, `worker`, `migrate`."""

    name: str
    module: str

    def variable(self, field: str) -> str:
        """The environment variable of one of its settings."""
        return f"{self.name}_{field}".upper()


@dataclass(frozen=True, kw_only=True, slots=True)
class Chore:
    """Something to run once between the servers and the services; safe to repeat."""

    name: str
    arguments: tuple[str, ...]
    needs_kafka: bool = False


GATEWAY = Service(name="gateway", module="services.gateway")
# In this order they are started; the gateway last, so that its door opens to a working house.
SERVICES = (
    Service(name="ingest", module="services.ingest"),
    Service(name="scale_bridge", module="services.scale_bridge"),
    Service(name="shop", module="services.shop"),
    GATEWAY,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Backends:
    """Where the servers are, embedded or not."""

    database_url: str
    kafka_bootstrap: str


WORKER = ("libs.messaging.worker", "libs.messaging.reactor", "libs.messaging.revocation_feed")
"""What a worker alone imports, when it starts."""


def preloaded_modules(services: tuple[Service, ...]) -> tuple[str, ...]:
    """What the services' parent imports: the services, and what makes the topics. What migrates is
    not among it: it is needed once, and would take its memory for ever."""
    return (*(service.module for service in services), *WORKER, "libs.messaging")


def chores(services: tuple[Service, ...]) -> tuple[Chore, ...]:
    """The topics, and every service's migrations."""
    topics = Chore(name="topics", arguments=("-m", "libs.messaging", "topics"), needs_kafka=True)
    migrations = (
        Chore(
            name=f"migrate {service.name}", arguments=("-m", service.module, "migrate", "--rebuild")
        )
        for service in services
    )
    return (topics, *migrations)


def chore_program(chore: Chore, home: Path, env: Mapping[str, str]) -> Program:
    """A chore as a program that ends by itself."""
    return Program(
        name=chore.name,
        command=(sys.executable, *chore.arguments),
        log_file=home / "logs" / f"{chore.name.replace(' ', '-')}.log",
        ready=lambda: False,
        pulse=lambda: False,
        env=env,
        cwd=ROOT,
        is_service=True,
    )


def service_programs(
    settings: LocalSettings, services: tuple[Service, ...], backends: Backends
) -> list[Program]:
    """One program per service, or with `split` two: `ingest-api` and `ingest-worker`."""
    env = environment(settings, services, backends)
    roles: tuple[Role, ...] = ("api", "worker") if settings.split else ("run",)
    return [_program(settings, service, role, env) for service in services for role in roles]


def environment(
    settings: LocalSettings, services: tuple[Service, ...], backends: Backends
) -> dict[str, str]:
    """The environment of all programs; each reads the variables it knows."""
    env = {
        "DATABASE_URL": backends.database_url,
        "KAFKA_BOOTSTRAP_SERVERS": backends.kafka_bootstrap,
        "TILLSTREAM_PROFILE": settings.profile,
        "GATEWAY_SIGNING_KEY_FILE": str(keys.signing_key(settings.home, "gateway_signing_key.pem")),
        "GATEWAY_SEAL_KEYS_FILE": str(keys.sealing_key(settings.home, "gateway_seal_keys")),
        "GATEWAY_REFRESH_KEY_FILE": str(keys.sealing_key(settings.home, "gateway_refresh_key")),
        "SCALE_BRIDGE_SEAL_KEYS_FILE": str(keys.sealing_key(settings.home, "scale_seal_keys")),
        "SHOP_SEAL_KEYS_FILE": str(keys.sealing_key(settings.home, "shop_seal_keys")),
        "SHOP_PAYMENT_SECRET_FILE": str(keys.token(settings.home, "shop_payment_secret")),
        "SHOP_FILES_URL": (settings.home / "files" / "shop").as_uri(),
    }
    if settings.profile == "demo":
        # Simulated scales are on this machine.
        env["SCALE_BRIDGE_ALLOW_LOOPBACK"] = "true"
        # They belong to the office, and follow the prices of the first shop that is registered.
        env["SCALE_BRIDGE_PRICE_SOURCES"] = "demo=shop-1"
        env["SCALE_BRIDGE_CURRENCY"] = "KZT"
        env["GATEWAY_SCAN_CLIENT_KEY_FILE"] = str(keys.token(settings.home, "scan_client_key"))
    for service in services:
        env |= _addresses(settings, service)
    return env


def _addresses(settings: LocalSettings, service: Service) -> dict[str, str]:
    port = http_port(settings, service, "run")
    jwks = f"http://{ports.LOOPBACK}:{settings.gateway_port}/.well-known/jwks.json"
    own = {
        service.variable("http_port"): str(port),
        service.variable("worker_http_port"): str(http_port(settings, service, "worker")),
        service.variable("jwks_url"): jwks,
    }
    if service.name == GATEWAY.name:
        return own
    return own | {f"GATEWAY_{service.name}_URL".upper(): f"http://{ports.LOOPBACK}:{port}"}


def http_port(settings: LocalSettings, service: Service, role: Role) -> int:
    """The port of a program; `run` and `api` share theirs, because only one of them runs."""
    if role == "worker":
        return ports.remembered_port(settings.home, f"{service.name}-worker")
    if service.name == GATEWAY.name:
        return settings.gateway_port
    return ports.remembered_port(settings.home, service.name)


def _program(
    settings: LocalSettings, service: Service, role: Role, env: Mapping[str, str]
) -> Program:
    name = service.name if role == "run" else f"{service.name}-{role}"
    field = "worker_http_port" if role == "worker" else "http_port"
    port = int(env[service.variable(field)])
    return Program(
        name=name,
        command=(sys.executable, "-m", service.module, role),
        log_file=settings.home / "logs" / f"{name}.log",
        ready=lambda: says_ready(port) is True,
        pulse=lambda: says_ready(port),
        env=env,
        cwd=ROOT,
        port=port,
        url=f"http://{ports.LOOPBACK}:{port}",
        is_service=True,
    )


def says_ready(port: int) -> bool | None:
    """Whether `/ready` answers 200; None without an answer in time, which busy programs miss."""
    try:
        return _get(port, "/ready") is not None
    except TimeoutError:
        return None


def fetch(port: int, path: str) -> str | None:
    """The body of a 200 answer from a loopback port, else None. Never goes through a proxy."""
    try:
        return _get(port, path)
    except TimeoutError:
        return None


def _get(port: int, path: str) -> str | None:
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=ASK_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
        return body if answer.status == 200 else None
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
