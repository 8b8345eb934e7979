"""Clients of an API in the same process, with tokens that the gateway would have issued."""

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
    """A verifier that knows `KEY` and asks no key server; `options` as `TokenVerifier` has them."""
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "keys": {KEY.kid: KEY.public},
        "clock": clock,
    } | options
    return TokenVerifier(audience=audience, **given)


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
    """The header of a caller whose token was issued a day ago, by default, and lasts for years."""
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
    """A client of an ASGI app at `http://service`; errors inside the app are answers."""
    transport = ASGITransport(app, raise_app_exceptions=False, client=(address, 5555))
    given: dict[str, Any] = {"base_url": "http://service", "timeout": 60, "headers": headers}
    async with AsyncClient(transport=transport, **(given | options)) as opened:
        yield opened
