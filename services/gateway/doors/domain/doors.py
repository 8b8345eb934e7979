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
            idempotent=route.get("idempotent", False),
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
    about="Scans of boxes and items: what scanners send and dashboards read. "
    "Scanners and dashboards send an API key in `X-API-Key`.",
)


def _logins_only(
    name: str,
    auth_scheme: AuthScheme,
    shape: Shape,
    *origins: str,
    about: str,
    form_login: str = "",
) -> Door:
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
        about=about,
        form_login=form_login,
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
    about="Label scales: their catalogues, prices and operations. Log in with e-mail address and "
    "password; `POST /auth/register` opens an account.",
    form_login="/auth/login",
)
CRM: Final = _logins_only(
    "crm",
    AuthScheme.BEARER,
    Shape.ERROR,
    *_localhost(3000, 8080),
    about="Field engineers, their visits and customers. Log in with e-mail address and password; "
    "`POST /api/v1/auth/refresh` exchanges the refresh token for the next pair.",
    form_login="/api/v1/auth/token",
)
SHOP: Final = _logins_only(
    "shop",
    AuthScheme.CHALLENGE,
    Shape.DETAIL,
    *_localhost(3000, 5173, 5174, 5177, 5178, 5181, 5182),
    about="The flower shop. `POST /api/auth/request-otp` sends a code by Telegram; "
    "`POST /api/auth/verify-otp` takes it and answers the `access_token` for *Authorize*.",
)
KIOSK: Final = _logins_only(
    "kiosk",
    AuthScheme.CHALLENGE,
    Shape.DETAIL,
    *_localhost(3000, 8080),
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
