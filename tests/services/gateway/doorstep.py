"""People with access tokens, in front of doors that their clients know."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from httpx import AsyncClient

from libs.security.tokens import ACCESS, SigningKey, issue
from libs.testing import callers
from services.gateway.accounts.domain.realm import Realm
from services.gateway.doors.domain.door import AuthScheme, Door, Limit, Rule, Shape
from services.gateway.doors.domain.doors import SCAN, SHOP
from services.gateway.sessions.adapters.access_tokens import AUDIENCE
from tests.services.gateway.app import Keys, Service, open_app

ISSUER: Final = "http://127.0.0.1:0"
"""The issuer of a gateway without `public_url`."""
ANNA: Final = UUID(int=7)
SESSION: Final = "0198c5a0-0000-7000-8000-000000000001"


def door(name: str, auth_scheme: AuthScheme, shape: Shape, **more: Any) -> Door:
    """A door to the same service, with one room that takes `scan:read`."""
    rule = Rule(("GET",), "/room", "scan:read", Limit.DASHBOARD)
    given = {"prefix": f"/{name}", "root": (), "repeated": "", "service": "ingest"}
    return Door(
        name=name, auth_scheme=auth_scheme, shape=shape, **{**given, "rules": (rule,), **more}
    )


DOORS: Final = (
    SCAN,
    door("scales", AuthScheme.BEARER, Shape.DETAIL),
    door("crm", AuthScheme.BEARER, Shape.ERROR),
    door("shop", AuthScheme.CHALLENGE, Shape.DETAIL, forbidden=SHOP.forbidden),
    door("kiosk", AuthScheme.CHALLENGE, Shape.DETAIL),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Doorstep:
    """A client in front of a gateway, and what makes tokens for it."""

    client: AsyncClient
    key: SigningKey
    app: Any

    def token(self, *scopes: str, **different: Any) -> str:
        """An access token of Anna's, good for a quarter of an hour."""
        return access_token(self.key, scopes or ("scan:read",), **different)

    def revoke(self, session: str = SESSION) -> None:
        """As if the worker had said so over Kafka."""
        self.app.state.deps.revocations.remember(session, datetime.now(UTC))


def access_token(key: SigningKey, scopes: Iterable[str], **different: Any) -> str:
    """As the gateway signs it, but for what is `different`."""
    usual: dict[str, Any] = {
        "subject": str(ANNA),
        "tenant": "demo",
        "scopes": scopes,
        "kind": Realm.CRM,
        "audience": AUDIENCE,
        "issuer": ISSUER,
        "now": datetime.now(UTC),
        "lifetime": timedelta(minutes=15),
        "typ": ACCESS,
        "session": SESSION,
    }
    return issue(key, **usual | different)


@asynccontextmanager
async def doorstep(service: Service, keys: Keys, **different: Any) -> AsyncIterator[Doorstep]:
    """In front of `DOORS`."""
    key = SigningKey.generate()
    settings = {"doors": DOORS, "signing_key": key.to_pem(), **different}
    async with (
        open_app(service, keys, **settings) as app,
        callers.client_of(app, base_url="http://gateway") as client,
    ):
        yield Doorstep(client=client, key=key, app=app)
