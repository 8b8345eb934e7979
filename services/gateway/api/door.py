"""The doors, in raw ASGI: find the door, see who stands there, lead them to the service."""

from math import ceil
from typing import Final
from urllib.parse import quote

import structlog

from libs.http.client import trace_headers
from libs.security.api_keys import hash_key
from services.gateway.adapters.headers import forwarded
from services.gateway.adapters.known_keys import KeysUnavailable
from services.gateway.adapters.upstream import (
    Asked,
    UpstreamAway,
    UpstreamBroke,
    UpstreamSlow,
)
from services.gateway.api import body, fault
from services.gateway.api.cors import App, Receive, Scope, Send
from services.gateway.api.peer import Peer, peer_of
from services.gateway.deps import Deps
from services.gateway.domain.caller import Caller
from services.gateway.domain.door import (
    BadPath,
    Closed,
    Found,
    NoDoor,
    NoSuchMethod,
    Shape,
    TrailingSlash,
    find,
)
from services.gateway.domain.doors import DOORS

MAX_KEY_LENGTH: Final = 512
UNHEARD_BODIES: Final = 4
"""How many times the largest body a refused client may still send before it is cut off."""
PRINTABLE: Final = "!$%&'()*+,-./:;<=>?@[\\]^_`{|}~\""

log = structlog.get_logger(__name__)


class Doors:
    """ASGI middleware that answers at the doors and leaves everything else to `app`.

    The path of the rule becomes the request's route in metrics and traces.
    """

    def __init__(self, app: App, *, deps: Deps) -> None:
        self._app = app
        self._deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            found = find(DOORS, scope["method"], _raw_path(scope))
        except NoDoor:
            return await self._app(scope, receive, send)
        except Closed as no:
            intake = body.Intake(scope["method"], scope["headers"], receive)
            why = _fault_of(no, scope["query_string"])
            return await self._refuse(intake, send, no.shape, why)
        scope["route"] = found.rule
        visit = _Visit(self._deps, found, scope, receive, send)
        try:
            await visit.lead()
        except fault.Fault as why:
            await self._refuse(visit.intake, send, found.door.shape, why)
        except body.ClientGone:
            log.info("client gone", door=found.door.name)

    async def _refuse(
        self, intake: body.Intake, send: Send, shape: Shape, why: fault.Fault
    ) -> None:
        await intake.hear_out(UNHEARD_BODIES * self._deps.settings.max_body_bytes)
        await fault.answer(send, shape, why)


class _Visit:
    """One request at a door."""

    def __init__(
        self, deps: Deps, found: Found, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self.deps = deps
        self.found = found
        self.scope = scope
        self.receive = receive
        self.send = send
        self.intake = body.Intake(scope["method"], scope["headers"], receive)

    async def lead(self) -> None:
        """Let the caller in, or raise Fault."""
        headers = dict(self.scope["headers"])
        peer = peer_of(self.scope, headers, self.deps.settings.trusted_proxies)
        try:
            caller = await self._admit(headers, peer) if self.found.rule.scope else None
        except fault.NoGoodKey:
            # The scan logger looks at the body first: what is no JSON, it says so to anybody.
            if await body.is_garbage(self.intake, headers):
                raise fault.not_json() from None
            raise
        content = await body.read(self.intake, limit=self.deps.settings.max_body_bytes)
        asked = Asked(
            method=self.scope["method"],
            target=_target(self.found.path, self.scope["query_string"]),
            headers=self._headers(headers, caller, peer, content),
            body=content.parts() if isinstance(content, body.Body) else content,
        )
        upstream = self.deps.upstreams[self.found.door.service]
        try:
            await upstream.relay(asked, self.receive, self.send)
        except (UpstreamAway, UpstreamBroke, UpstreamSlow) as error:
            if isinstance(content, body.Body) and content.trouble is not None:
                raise content.trouble from error
            raise _fault_behind(error) from error

    async def _admit(self, headers: dict[bytes, bytes], peer: Peer) -> Caller:
        caller = await self._caller(headers.get(b"x-api-key", b""))
        rule = self.found.rule
        if rule.scope not in caller.scopes:
            raise fault.forbidden()
        # Before the body: what is refused here was not stored, not even in part.
        key, address = str(caller.key_id), peer.address
        if over := await self.deps.limits.hit(rule.limit, key=key, address=address):
            policy = f'"{over.name}";q={over.quota};w={over.window_seconds}'
            raise fault.too_many(policy, over.retry_after)
        return caller

    async def _caller(self, key: bytes) -> Caller:
        if not key or len(key) > MAX_KEY_LENGTH:
            raise fault.bad_key()
        try:
            # By its hash, in a lookup that no timing can turn into a hint about the key.
            caller = await self.deps.keys.caller(hash_key(key.decode("latin-1")))
        except KeysUnavailable as unknown:
            log.warning("keys unavailable", reason=type(unknown.__cause__).__name__)
            raise fault.unavailable(2) from unknown
        if caller is None:
            raise fault.bad_key()
        return caller

    def _headers(
        self,
        headers: dict[bytes, bytes],
        caller: Caller | None,
        peer: Peer,
        content: bytes | body.Body | None,
    ) -> list[tuple[str, str]]:
        """What the service is told: the client's own headers, and what we know of the client."""
        told = forwarded(self.scope["headers"])
        told += [
            ("X-Forwarded-For", peer.chain),
            ("X-Forwarded-Proto", peer.proto),
            ("X-Forwarded-Host", peer.host),
        ]
        if caller is not None:
            told.append(("Authorization", self.deps.passes.bearer(caller, self.found.door.service)))
        if isinstance(content, body.Body) and b"content-length" in headers:
            told.append(("Content-Length", headers[b"content-length"].decode("latin-1")))
        return told + list(trace_headers().items())


def _fault_of(no: Closed, query: bytes) -> fault.Fault:
    match no:
        case BadPath():
            return fault.bad_path()
        case NoSuchMethod():
            return fault.method_not_allowed(no.allowed)
        case TrailingSlash():
            return fault.elsewhere(_target(no.path, query))
        case _:
            return fault.not_found()


def _fault_behind(error: UpstreamAway | UpstreamBroke | UpstreamSlow) -> fault.Fault:
    match error:
        case UpstreamAway():
            return fault.unavailable(ceil(error.retry_after))
        case UpstreamBroke():
            return fault.bad_gateway()
        case UpstreamSlow():
            return fault.timed_out()


def _raw_path(scope: Scope) -> str:
    raw: bytes | None = scope.get("raw_path")
    path = quote(scope["path"], safe=PRINTABLE) if raw is None else raw.decode("latin-1")
    return path.partition("?")[0] if raw is not None else path


def _target(path: str, query: bytes) -> str:
    if not query:
        return path
    text = query.decode("latin-1")
    if "#" in text or not (text.isascii() and text.isprintable()) or " " in text:
        text = quote(query, safe=PRINTABLE)
    return f"{path}?{text}"
