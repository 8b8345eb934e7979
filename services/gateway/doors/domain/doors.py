"""The doors of this installation: one row each."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from contracts.routes import published
from services.gateway.doors.domain.door import AuthScheme, Door, Limit, Rule, Shape

READ: Final = ("GET", "HEAD")


def rules_of(service: str) -> tuple[Rule, ...]:
    """The rules for the published routes of a service."""
    return tuple(
        Rule(
            methods=READ if route["method"] == "GET" else (route["method"],),
            path=route["path"],
            scope=route["scope"],
            limit=Limit(route["limit"]),
            slow=route.get("slow", False),
        )
        for route in published(service)
    )


def _localhost(*ports: int) -> tuple[str, ...]:
    return tuple(f"http://localhost:{port}" for port in ports)


SCAN: Final = Door(
    name="scan",
    origins=_localhost(3000, 8080),
    prefix="/scan",
    root=(
        "/api/v1/events",
        "/api/v1/dashboard",
        "/api/v1/logs",
        "/api/v1/export",
        "/api/v1/deletions",
        "/api/v1/quarantine",
    ),
    repeated="/api/v1",
    service="ingest",
    auth_scheme=AuthScheme.API_KEY,
    shape=Shape.DETAIL,
    rules=rules_of("ingest"),
)


def _logins_only(name: str, auth_scheme: AuthScheme, shape: Shape, *origins: str) -> Door:
    """A door without a service so far: its clients can log in."""
    return Door(
        name=name,
        prefix=f"/{name}",
        root=(),
        repeated="",
        service="",
        auth_scheme=auth_scheme,
        shape=shape,
        rules=(),
        origins=origins,
    )


SCALES: Final = Door(
    name="scales",
    origins=(*_localhost(5173), "http://127.0.0.1:5173"),
    prefix="/scales",
    root=("/devices", "/bridges"),
    repeated="",
    service="scale_bridge",
    auth_scheme=AuthScheme.BEARER,
    shape=Shape.DETAIL,
    rules=rules_of("scale_bridge"),
)
CRM: Final = _logins_only("crm", AuthScheme.BEARER, Shape.ERROR, *_localhost(3000, 8080))
SHOP: Final = _logins_only(
    "shop",
    AuthScheme.CHALLENGE,
    Shape.DETAIL,
    *_localhost(3000, 5173, 5174, 5177, 5178, 5181, 5182),
)
KIOSK: Final = _logins_only("kiosk", AuthScheme.CHALLENGE, Shape.DETAIL, *_localhost(3000, 8080))

DOORS: Final = (SCAN, SCALES, CRM, SHOP, KIOSK)


def with_hosts(hosts: Mapping[str, str]) -> tuple[Door, ...]:
    """The doors with their bound hosts; `hosts` is door name by host name, in lower case."""
    return tuple(
        replace(door, hosts=frozenset(host for host, name in hosts.items() if name == door.name))
        for door in DOORS
    )
