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


def _paths(prefix: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}/{name}" for name in names)


SCAN: Final = Door(
    name="scan",
    origins=_localhost(3000, 8080),
    prefix="/scan",
    root=_paths("/api/v1", "events", "dashboard", "logs", "export", "deletions", "quarantine"),
    repeated="/api/v1",
    service="ingest",
    auth_scheme=AuthScheme.API_KEY,
    shape=Shape.DETAIL,
    rules=rules_of("ingest"),
    about="Scans of boxes and items: what scanners send and dashboards read. "
    "Scanners and dashboards send an API key in `X-API-Key`.",
)
SCALES: Final = Door(
    name="scales",
    origins=(*_localhost(5173), "http://127.0.0.1:5173"),
    prefix="/scales",
    root=("/devices", "/bridges"),
    service="scale_bridge",
    auth_scheme=AuthScheme.BEARER,
    shape=Shape.DETAIL,
    rules=rules_of("scale_bridge"),
    about="Label scales: their catalogues, prices and operations. Log in with e-mail address and "
    "password; `POST /auth/register` opens an account.",
    form_login="/auth/login",
)
CRM: Final = Door(
    name="crm",
    origins=_localhost(3000, 8080),
    prefix="/crm",
    root=_paths(
        "/api/v1",
        *("objects", "visits", "customers", "dictionaries"),
        *("reports", "sync", "audit", "analytics"),
    ),
    service="crm",
    auth_scheme=AuthScheme.BEARER,
    shape=Shape.ERROR,
    rules=rules_of("crm"),
    about="Field engineers, their visits and customers. Log in with e-mail address and password; "
    "`POST /api/v1/auth/refresh` exchanges the refresh token for the next pair.",
    form_login="/api/v1/auth/token",
)
SHOP: Final = Door(
    name="shop",
    origins=_localhost(3000, 5173, 5174, 5177, 5178, 5181, 5182),
    prefix="/shop",
    root=(
        *_paths("/api", "orders", "customers", "products", "warehouse", "supplies", "production"),
        *_paths("/api", "calculator", "settings", "upload", "comments", "public", "tracking"),
        "/api/days",
        "/api/health",
        *("/uploads", "/ws"),
    ),
    service="shop",
    auth_scheme=AuthScheme.CHALLENGE,
    shape=Shape.DETAIL,
    rules=rules_of("shop"),
    refuses_by_close=True,
    forbidden="Недостаточно прав",
    about="The flower shop. `POST /api/auth/request-otp` sends a code by Telegram; "
    "`POST /api/auth/verify-otp` takes it and answers the `access_token` for *Authorize*.",
)
_OF_KIOSKS: Final = ("orders", "items", "categories", "menu", "service-mode", "events")
KIOSK: Final = Door(
    name="kiosk",
    origins=_localhost(3000, 8080),
    prefix="/kiosk",
    root=(
        *_paths("/api/v1", "orders", "items", "categories", "menu-management", "archive", "media"),
        *_paths("/api/v1", "getallitemlive", "addliveitem", "update-item-properties", "stop-list"),
        *_paths("/api/v1", "replenish-or-remove", "item-promotion-toggle", "units"),
        *_paths("/api/v1", "kds", "pickup", "integrations", "admin/kiosk", "api/admin/kiosk"),
        *_paths("/api/v1/kiosk", *_OF_KIOSKS),
        *_paths("/api/v1/api/kiosk", *_OF_KIOSKS),
    ),
    service="kiosk",
    auth_scheme=AuthScheme.CHALLENGE,
    shape=Shape.DETAIL,
    rules=rules_of("kiosk"),
    about="Self-service kiosks and their staff. `POST /api/v1/auth/login` (staff) and "
    "`POST /api/v1/kiosk/login` (a kiosk) answer the `access_token` for *Authorize*. The refresh "
    "token of staff is a cookie, which a browser sends by itself.",
)
DOORS: Final = (SCAN, SCALES, CRM, SHOP, KIOSK)


def with_hosts(hosts: Mapping[str, str]) -> tuple[Door, ...]:
    """The doors with their bound hosts; `hosts` is door name by host name, in lower case."""
    return tuple(
        replace(door, hosts=frozenset(host for host, name in hosts.items() if name == door.name))
        for door in DOORS
    )
