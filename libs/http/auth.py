"""Who is calling, and whether a route lets them."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
import structlog
from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute

from libs.clock import Clock, utc_now
from libs.errors import Forbidden, Unauthenticated, Unavailable
from libs.security.tokens import (
    Claims,
    KeyUnknown,
    PublicKeys,
    TokenInvalid,
    keys_from_jwks,
    verify,
)

REFETCH_SECONDS = 5.0
FETCH_SECONDS = 3.0
REMEMBERED = 10_000
# The app's own documentation.
DOCUMENTS = frozenset({"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, for which tenant, allowed what. `kind` is for example `person`."""

    subject: str
    tenant: str
    scopes: frozenset[str]
    kind: str


class TokenVerifier:
    """Checks tokens by fixed keys or by the key set at `jwks_url`, and remembers the good ones.

    The key set is fetched when a token names an unknown key, at most every `REFETCH_SECONDS`; if
    that fails, the keys already known stay good.
    """

    def __init__(
        self,
        *,
        audience: str,
        issuer: str,
        keys: PublicKeys | None = None,
        jwks_url: str | None = None,
        session: aiohttp.ClientSession | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._audience = audience
        self._issuer = issuer
        self._keys: PublicKeys = keys or {}
        self._jwks_url = jwks_url
        self._session = session
        self._clock = clock
        self._fetched_at: float | None = None
        self._fetching = asyncio.Lock()
        self._known: OrderedDict[str, tuple[Principal, datetime]] = OrderedDict()

    async def principal(self, authorization: str | None) -> Principal:
        """Who an `Authorization` header proves the caller to be.

        Raises `Unauthenticated`, or `Unavailable` while no key could be fetched at all.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated
        known = self._known.get(token)
        if known is not None and known[1] > self._clock():
            self._known.move_to_end(token)
            return known[0]
        try:
            claims = await self._claims(token)
        except TokenInvalid as error:
            log.info("token refused", reason=str(error))
            raise Unauthenticated from error
        return self._remember(token, claims)

    async def _claims(self, token: str) -> Claims:
        try:
            return self._verified(token)
        except KeyUnknown:
            if not await self._fetch():
                raise
            return self._verified(token)

    def _verified(self, token: str) -> Claims:
        return verify(
            token, self._keys, audience=self._audience, issuer=self._issuer, now=self._clock()
        )

    def _remember(self, token: str, claims: Claims) -> Principal:
        principal = Principal(claims.subject, claims.tenant, claims.scopes, claims.kind)
        self._known[token] = principal, claims.expires_at
        self._known.move_to_end(token)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return principal

    async def _fetch(self) -> bool:
        """Renew the keys; whether there may be new ones."""
        if self._jwks_url is None or self._session is None:
            return False
        now = asyncio.get_running_loop().time
        asked_at = now()
        async with self._fetching:
            # Fetched a moment ago, perhaps by somebody else while we waited, is fetched.
            if self._fetched_at is None or asked_at - self._fetched_at >= REFETCH_SECONDS:
                try:
                    self._keys = await _key_set(self._session, self._jwks_url)
                except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                    log.warning("key set not fetched", error=type(error).__name__)
                self._fetched_at = now()
        if not self._keys:
            raise Unavailable("key set")
        return True


class Permission:
    """A dependency that lets only callers with a scope in. Compare `require`."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Principal:
        """The caller. Raises `Unauthenticated`, `Forbidden` or `Unavailable`."""
        verifier: TokenVerifier = request.app.state.deps.verifier
        caller = await verifier.principal(request.headers.get("authorization"))
        if self.scope not in caller.scopes:
            raise Forbidden
        return caller


def require(scope: str) -> Permission:
    """Declare what a route demands: `caller: Annotated[Principal, Depends(require("scan:read"))]`.

    The app's `deps` must have a `verifier`.
    """
    return Permission(scope)


async def public() -> None:
    """Declare that a route is open to everybody: `dependencies=[Depends(public)]`."""


def undeclared_routes(app: FastAPI) -> list[str]:
    """Routes that neither require a scope nor say that they are public. Must be empty."""
    return sorted(
        f"{','.join(sorted(getattr(context, 'methods', None) or ['*']))} {path}"
        for context, path in _routes(app.routes)
        if path not in DOCUMENTS and not _declared(context)
    )


def _routes(routes: list[BaseRoute]) -> Iterator[tuple[Any, str]]:
    for context in iter_route_contexts(routes):
        yield context, getattr(context, "path", None) or str(context.original_route)


def _declared(context: Any) -> bool:
    if not isinstance(context.original_route, APIRoute):
        # Mounts, plain Starlette routes and websockets cannot declare anything.
        return False
    return any(_declares(call) for call in _calls(context.dependant))


def _declares(call: object) -> bool:
    return call is public or isinstance(call, Permission)


def _calls(dependant: Dependant) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)


async def _key_set(session: aiohttp.ClientSession, url: str) -> PublicKeys:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    async with session.get(url, timeout=timeout, allow_redirects=False) as answer:
        answer.raise_for_status()
        keys = keys_from_jwks(await answer.json())
    if not keys:
        raise ValueError("an empty key set")
    return keys
