"""Clients of an API in the same process, with tokens like those of the gateway."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from httpx import ASGITransport, AsyncClient

from libs.clock import Clock, utc_now
from libs.http.auth import TokenVerifier
from libs.security.tokens import SigningKey, issue

KEY: Final = SigningKey.generate()
ISSUER: Final = "tillstream-gateway"


def verifier(audience: str, *, clock: Clock = utc_now, **options: Any) -> TokenVerifier:
    """A verifier that knows `KEY` and needs no key server; `options` of `TokenVerifier`."""
    defaults: dict[str, Any] = {
        "issuer": ISSUER,
        "keys": {KEY.kid: KEY.public},
        "clock": clock,
    } | options
    return TokenVerifier(audience=audience, **defaults)


def bearer(
    audience: str,
    *,
    subject: str,
    tenant: str = "demo",
    scopes: Sequence[str] = (),
    kind: str = "person",
    now: datetime | None = None,
    lifetime: timedelta = timedelta(days=10_000),
    **claims: Any,
) -> dict[str, str]:
    """The header with a caller's token, by default issued a day ago and valid for years."""
    token = issue(
        KEY,
        subject=subject,
        tenant=tenant,
        scopes=scopes,
        kind=kind,
        audience=audience,
        issuer=ISSUER,
        now=(now or utc_now()) - timedelta(days=1),
        lifetime=lifetime,
        **claims,
    )
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def client_of(
    app: Any, headers: dict[str, str] | None = None, *, address: str = "127.0.0.1", **options: Any
) -> AsyncIterator[AsyncClient]:
    """A client of an ASGI app at `http://service`. Exceptions inside the app become responses."""
    transport = ASGITransport(app, raise_app_exceptions=False, client=(address, 5555))
    defaults: dict[str, Any] = {"base_url": "http://service", "timeout": 60, "headers": headers}
    async with AsyncClient(transport=transport, **(defaults | options)) as client:
        yield client
