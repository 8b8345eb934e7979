"""Who is calling, and whether a route lets them."""

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
    LONGEST_PASS,
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
REMEMBERED = 10_000

Revoked: TypeAlias = Callable[[str], bool]
"""Whether the tokens of a session are worthless by now; compare `Revocations.is_revoked`."""

log = structlog.get_logger(__name__)


IsLive: TypeAlias = Callable[[str], Awaitable[bool]]
"""Whether a session goes on, if that is in doubt; compare `SessionCheck.is_live`."""


def never(_: str) -> bool:
    """Nobody tells of revoked sessions."""
    return False


async def undoubted(_: str) -> bool:
    """All revoked sessions are known."""
    return True


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, for which tenant, allowed what. `kind` is for example `person`.

    `session` is the login the call belongs to, empty where nobody logged in.
    """

    subject: str
    tenant: str
    scopes: frozenset[str]
    kind: str
    session: str = ""


class _Known(NamedTuple):
    principal: Principal
    expires_at: datetime
    lifetime: timedelta


class TokenVerifier:
    """Checks tokens by fixed keys or by the key set at `jwks_url`, and remembers the good ones.

    The key set is fetched when a token names an unknown key, at most every `REFETCH_SECONDS`, and
    every `RENEW_SECONDS`, for a key may have been withdrawn; if that fails, the keys already known
    stay good, and without any it is tried again after `RETRY_SECONDS`. A token whose session is
    `revoked` is refused, remembered or not; one that lives for longer than `LONGEST_PASS` also if
    its session is not `live`, asked for every call. `typ` is the kind of token that passes.
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
        revoked: Revoked = never,
        live: IsLive = undoubted,
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
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def principal(self, authorization: str | None) -> Principal:
        """Who an `Authorization` header proves the caller to be.

        Raises `Unauthenticated`, or `Unavailable` while no key could be fetched at all, or while
        it is unknown whether its session is live.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated
        known = self._recall(token) or await self._checked(token)
        # Asked for every call: what was good when it was first seen may be over by now.
        if known.principal.session and await self._is_over(known):
            self._known.pop(token, None)
            log.info("token refused", reason="revoked")
            raise Unauthenticated
        return known.principal

    async def _is_over(self, known: "_Known") -> bool:
        session = known.principal.session
        if self._revoked(session):
            return True
        return known.lifetime > LONGEST_PASS and not await self._live(session)

    def _recall(self, token: str) -> "_Known | None":
        known = self._known.get(token)
        if known is None or known.expires_at <= self._clock():
            return None
        self._known.move_to_end(token)
        return known

    async def _checked(self, token: str) -> "_Known":
        try:
            return self._remember(token, await self._claims(token))
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

    def _remember(self, token: str, claims: Claims) -> "_Known":
        principal = Principal(
            claims.subject, claims.tenant, claims.scopes, claims.kind, claims.session
        )
        known = self._known[token] = _Known(principal, claims.expires_at, claims.lifetime)
        self._known.move_to_end(token)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return known

    async def _fetch(self) -> bool:
        """Renew the keys; whether there may be new ones."""
        if self._jwks_url is None or self._session is None:
            return False
        now = asyncio.get_running_loop().time
        asked_at = now()
        async with self._fetching:
            # Fetched a moment ago, perhaps by somebody else while we waited, is fetched.
            pause = REFETCH_SECONDS if self._keys else RETRY_SECONDS
            if self._fetched_at is None or asked_at - self._fetched_at >= pause:
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
            # What a key signed that is withdrawn must not be remembered as good.
            self._known.clear()
        self._keys = keys


class Permission:
    """A dependency that lets only callers with a scope in. Compare `require`."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, request: HTTPConnection) -> Principal:
        """The caller. Raises `Unauthenticated`, `Forbidden` or `Unavailable`."""
        verifier: TokenVerifier = request.app.state.deps.verifier
        caller = await verifier.principal(request.headers.get("authorization"))
        if self.scope not in caller.scopes:
            raise Forbidden
        return caller


class Membership:
    """A dependency that lets in whoever is of one of some kinds, whatever they may do."""

    def __init__(self, kinds: frozenset[str]) -> None:
        self.kinds = kinds

    async def __call__(self, request: HTTPConnection) -> Principal:
        """The caller. Raises `Unauthenticated`, `Forbidden` or `Unavailable`."""
        verifier: TokenVerifier = request.app.state.deps.verifier
        caller = await verifier.principal(request.headers.get("authorization"))
        if caller.kind not in self.kinds:
            raise Forbidden
        return caller


def member(*kinds: str) -> Membership:
    """Declare that a route is for everybody who is logged in as one of `kinds`, for instance to
    see who they are: `caller: Annotated[Principal, Depends(member("shop"))]`.
    """
    return Membership(frozenset(kinds))


def require(scope: str) -> Permission:
    """Declare what a route demands: `caller: Annotated[Principal, Depends(require("scan:read"))]`.

    The app's `deps` must have a `verifier`.
    """
    return Permission(scope)


async def public() -> None:
    """Declare that a route is open to everybody: `dependencies=[Depends(public)]`."""


async def _key_set(session: aiohttp.ClientSession, url: str) -> PublicKeys:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    async with session.get(url, timeout=timeout, allow_redirects=False) as answer:
        answer.raise_for_status()
        keys = keys_from_jwks(await answer.json())
    if not keys:
        raise ValueError("an empty key set")
    return keys
