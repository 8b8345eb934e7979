"""Authentication by bearer token, and the permissions that routes declare."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias

import aiohttp
import structlog
from starlette.requests import HTTPConnection

from libs.clock import Clock, utc_now
from libs.errors import Forbidden, Unauthenticated, Unavailable
from libs.security.tokens import (
    INTERNAL,
    MAX_INTERNAL_LIFETIME,
    Claims,
    KeyUnknown,
    PublicKeys,
    TokenInvalid,
    keys_from_jwks,
    verify,
)

REFETCH_SECONDS = 5.0
RETRY_SECONDS = 0.2
RENEW_SECONDS = 300.0
FETCH_SECONDS = 3.0
CACHE_SIZE = 10_000

IsRevoked: TypeAlias = Callable[[str], bool]
"""Whether a session is revoked; compare `Revocations.is_revoked`."""

IsLive: TypeAlias = Callable[[str], Awaitable[bool]]
"""Whether a session is live; compare `SessionCheck.is_live`."""

log = structlog.get_logger(__name__)


def none_revoked(_: str) -> bool:
    """The default of a verifier without `Revocations`: no session is revoked."""
    return False


async def always_live(_: str) -> bool:
    """The default of a verifier without a `SessionCheck`: every session is live."""
    return True


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. `kind` is the realm of a login, or for example `api-key`.

    `session` is the id of the login session, empty for callers without one, such as API keys.
    """

    subject: str
    tenant: str
    scopes: frozenset[str]
    kind: str
    session: str = ""


class _CachedPrincipal(NamedTuple):
    principal: Principal
    expires_at: datetime
    lifetime: timedelta


class TokenVerifier:
    """Verifies tokens by fixed keys or by the key set at `jwks_url`, and caches the valid ones.

    The key set is fetched when a token names an unknown key, at most every `REFETCH_SECONDS`, and
    every `RENEW_SECONDS`, since a key may have been withdrawn. If the fetch fails, the known keys
    stay valid; without any key it is retried after `RETRY_SECONDS`.

    Every call checks that the session is not `revoked`, cached token or not, and that the session
    of a token with a lifetime above `MAX_INTERNAL_LIFETIME` is `live`. `typ` is the accepted type
    of token.
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
        revoked: IsRevoked = none_revoked,
        live: IsLive = always_live,
        typ: str = INTERNAL,
    ) -> None:
        self._audience = audience
        self._issuer = issuer
        self._keys: PublicKeys = keys or {}
        self._jwks_url = jwks_url
        self._session = session
        self._clock = clock
        self._revoked = revoked
        self._live = live
        self._typ = typ
        self._fetched_at: float | None = None
        self._fetching = asyncio.Lock()
        self._cache: OrderedDict[str, _CachedPrincipal] = OrderedDict()

    async def principal(self, authorization: str | None) -> Principal:
        """The caller that an `Authorization` header authenticates.

        Raises `Unauthenticated`, and `Unavailable` while no key could be fetched, or while it is
        unknown whether the session is live.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated
        known = self._cached(token) or await self._authenticated(token)
        # On every call: a session may be revoked after its token was cached.
        if known.principal.session and await self._is_over(known):
            self._cache.pop(token, None)
            log.info("token refused", reason="revoked")
            raise Unauthenticated
        return known.principal

    async def _is_over(self, known: "_CachedPrincipal") -> bool:
        session = known.principal.session
        if self._revoked(session):
            return True
        return known.lifetime > MAX_INTERNAL_LIFETIME and not await self._live(session)

    def _cached(self, token: str) -> "_CachedPrincipal | None":
        known = self._cache.get(token)
        if known is None or known.expires_at <= self._clock():
            return None
        self._cache.move_to_end(token)
        return known

    async def _authenticated(self, token: str) -> "_CachedPrincipal":
        try:
            return self._add_to_cache(token, await self._claims(token))
        except TokenInvalid as error:
            log.info("token refused", reason=str(error))
            raise Unauthenticated from error

    async def _claims(self, token: str) -> Claims:
        if self._is_old():
            await self._fetch()
        try:
            return self._verified(token)
        except KeyUnknown:
            if not await self._fetch():
                raise
            return self._verified(token)

    def _is_old(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._fetched_at is not None and now - self._fetched_at >= RENEW_SECONDS

    def _verified(self, token: str) -> Claims:
        return verify(
            token,
            self._keys,
            audience=self._audience,
            issuer=self._issuer,
            now=self._clock(),
            typ=self._typ,
        )

    def _add_to_cache(self, token: str, claims: Claims) -> "_CachedPrincipal":
        principal = Principal(
            claims.subject, claims.tenant, claims.scopes, claims.kind, claims.session
        )
        known = self._cache[token] = _CachedPrincipal(principal, claims.expires_at, claims.lifetime)
        self._cache.move_to_end(token)
        if len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        return known

    async def _fetch(self) -> bool:
        """Fetch the keys, unless that was just done; False if there is nowhere to fetch from."""
        if self._jwks_url is None or self._session is None:
            return False
        now = asyncio.get_running_loop().time
        called_at = now()
        async with self._fetching:
            # Another call may have fetched the keys while this one waited for the lock.
            pause = REFETCH_SECONDS if self._keys else RETRY_SECONDS
            if self._fetched_at is None or called_at - self._fetched_at >= pause:
                try:
                    self._adopt(await _key_set(self._session, self._jwks_url))
                except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                    log.warning("key set not fetched", error=type(error).__name__)
                self._fetched_at = now()
        if not self._keys:
            raise Unavailable("key set")
        return True

    def _adopt(self, keys: PublicKeys) -> None:
        if self._keys.keys() - keys.keys():
            # Cached tokens may be signed by a key that was withdrawn.
            self._cache.clear()
        self._keys = keys


class Permission:
    """A dependency that demands a scope of the caller. Compare `require`."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, request: HTTPConnection) -> Principal:
        """The caller. Raises `Unauthenticated`, `Forbidden` or `Unavailable`."""
        verifier: TokenVerifier = request.app.state.deps.verifier
        caller = await verifier.principal(request.headers.get("authorization"))
        if self.scope not in caller.scopes:
            raise Forbidden
        return caller


class KindPermission:
    """A dependency that demands one of some kinds of caller, with any scopes. Compare
    `require_kind`."""

    def __init__(self, kinds: frozenset[str]) -> None:
        self.kinds = kinds

    async def __call__(self, request: HTTPConnection) -> Principal:
        """The caller. Raises `Unauthenticated`, `Forbidden` or `Unavailable`."""
        verifier: TokenVerifier = request.app.state.deps.verifier
        caller = await verifier.principal(request.headers.get("authorization"))
        if caller.kind not in self.kinds:
            raise Forbidden
        return caller


def require_kind(*kinds: str) -> KindPermission:
    """Declare that a route demands a caller of one of `kinds`:
    `caller: Annotated[Principal, Depends(require_kind("shop"))]`.
    """
    return KindPermission(frozenset(kinds))


def require(scope: str) -> Permission:
    """Declare that a route demands a scope of the caller:
    `caller: Annotated[Principal, Depends(require("scan:read"))]`.

    The app's `deps` must have a `verifier`.
    """
    return Permission(scope)


async def public() -> None:
    """Declare that a route is open to everybody: `dependencies=[Depends(public)]`."""


async def _key_set(session: aiohttp.ClientSession, url: str) -> PublicKeys:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    async with session.get(url, timeout=timeout, allow_redirects=False) as response:
        response.raise_for_status()
        keys = keys_from_jwks(await response.json())
    if not keys:
        raise ValueError("an empty key set")
    return keys
