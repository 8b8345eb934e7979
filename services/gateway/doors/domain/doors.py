"""The doors of this installation: one row each."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from services.gateway.doors.domain.door import WEBSOCKET, AuthScheme, Door, Limit, Rule, Shape

READ: Final = ("GET", "HEAD")
POST: Final = ("POST",)
PUT: Final = ("PUT",)
PATCH: Final = ("PATCH",)
DELETE: Final = ("DELETE",)


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
    rules=(
        Rule(READ, "/", None, Limit.NONE),
        Rule(READ, "/ping", None, Limit.NONE),
        Rule(READ, "/health", None, Limit.NONE),
        Rule(POST, "/api/v1/events/batch", "scan:write", Limit.INGEST),
        Rule(POST, "/api/v1/events/verify", "scan:write", Limit.INGEST),
        Rule(POST, "/api/v1/events/remove", "scan:remove", Limit.REMOVAL),
        Rule(POST, "/api/v1/events/bulk-remove", "scan:remove", Limit.REMOVAL),
        Rule(DELETE, "/api/v1/events/{}", "scan:remove", Limit.REMOVAL),
        Rule(READ, "/api/v1/deletions", "scan:read", Limit.DASHBOARD),
        Rule(READ, "/api/v1/dashboard/state", "scan:read", Limit.DASHBOARD),
        Rule(READ, "/api/v1/dashboard/boxes", "scan:read", Limit.DASHBOARD),
        Rule(READ, "/api/v1/dashboard/raw", "scan:read", Limit.DASHBOARD),
        Rule(READ, "/api/v1/dashboard/stream", "scan:read", Limit.DASHBOARD),
        Rule(READ, "/api/v1/logs/raw", "scan:read", Limit.DASHBOARD),
        Rule(READ, "/api/v1/export/csv", "scan:read", Limit.EXPORT),
        Rule(READ, "/api/v1/export/boxes-csv", "scan:read", Limit.EXPORT),
        Rule(READ, "/api/v1/export/excel", "scan:read", Limit.EXPORT),
        Rule(READ, "/api/v1/quarantine", "scan:read", Limit.DASHBOARD),
        Rule(READ, "/api/v1/quarantine/{}", "scan:read", Limit.DASHBOARD),
        Rule(POST, "/api/v1/quarantine/replay", "scan:remove", Limit.REMOVAL),
        Rule(POST, "/api/v1/quarantine/{}/mend", "scan:remove", Limit.REMOVAL),
        Rule(POST, "/api/v1/quarantine/{}/replay", "scan:remove", Limit.REMOVAL),
        Rule(POST, "/api/v1/quarantine/{}/drop", "scan:remove", Limit.REMOVAL),
    ),
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
    rules=(
        Rule(READ, "/devices", "scales:read", Limit.DASHBOARD),
        Rule(POST, "/devices", "scales:write", Limit.DASHBOARD),
        Rule(READ, "/devices/board", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/devices/board/stream", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/devices/{}", "scales:read", Limit.DASHBOARD),
        Rule((*PUT, *DELETE), "/devices/{}", "scales:write", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/products", "scales:read", Limit.DASHBOARD, slow=True),
        Rule(READ, "/devices/{}/products/cached", "scales:read", Limit.DASHBOARD),
        Rule(PATCH, "/devices/{}/products/{}", "scales:write", Limit.DASHBOARD),
        Rule(POST, "/devices/{}/upload", "scales:write", Limit.DASHBOARD, slow=True),
        Rule(POST, "/devices/{}/verify", "scales:write", Limit.DASHBOARD, slow=True),
        Rule(POST, "/devices/{}/probe", "scales:write", Limit.DASHBOARD, slow=True),
        Rule(READ, "/devices/{}/auto-update", "scales:read", Limit.DASHBOARD),
        Rule(PUT, "/devices/{}/auto-update", "scales:write", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/schedule", "scales:read", Limit.DASHBOARD),
        Rule(PUT, "/devices/{}/schedule", "scales:write", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/drift", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/shown", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/shown/history", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/operations", "scales:read", Limit.DASHBOARD),
        Rule(POST, "/devices/{}/operations", "scales:write", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/operations/{}", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/operations/{}", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/revisions", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/revisions/diff", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/revisions/{}", "scales:read", Limit.DASHBOARD),
        Rule(POST, "/devices/{}/revisions/{}/revert", "scales:write", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/label", "scales:read", Limit.DASHBOARD),
        Rule((*PUT, *DELETE), "/devices/{}/messages/{}", "scales:write", Limit.DASHBOARD),
        Rule(READ, "/barcodes/rules", "scales:read", Limit.DASHBOARD),
        Rule(PUT, "/barcodes/rules", "scales:write", Limit.DASHBOARD),
        Rule(POST, "/barcodes/decode", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/profile", "scales:read", Limit.DASHBOARD),
        Rule(PUT, "/devices/{}/profile", "scales:write", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/strictness", "scales:read", Limit.DASHBOARD),
        Rule(PUT, "/devices/{}/strictness", "scales:write", Limit.DASHBOARD),
        Rule(READ, "/devices/{}/products/problems", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/models", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/shops", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/prices/deliveries", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/prices/{}/delivery", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/prices/{}/delivery/stream", "scales:read", Limit.DASHBOARD),
        Rule(READ, "/bridges", "scales:read", Limit.DASHBOARD),
        Rule(POST, "/bridges/key", "scales:bridge", Limit.DASHBOARD),
        Rule((WEBSOCKET,), "/bridge", "scales:bridge", Limit.DASHBOARD),
    ),
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
