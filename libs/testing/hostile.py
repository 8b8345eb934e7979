"""Fuzz all routes with random headers, cookies, queries, paths and bodies.

The routes come from the app, so a new route is tried without being listed anywhere. The requests
to a route depend on its method and path only, so a failing run can be repeated.
"""

import asyncio
import json
import random
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import quote, unquote

from fastapi import FastAPI, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute, iter_route_contexts

from libs.testing.polling import PATIENCE_SECONDS
from libs.testing.routes import routes_of

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
Credentials: TypeAlias = Callable[[random.Random], RawHeaders]
"""Makes the headers of a random caller who may use some routes."""

TEXTS: Final = (
    *(b"", b" ", b"\0", b"a\0b", b"\r\n", b"\xff\xfe", b"\xed\xa0\x80", "é".encode("latin-1")),
    *("٣".encode(), "\u202e\u2028".encode(), "\U0010ffff".encode(), b"a" * 5000, b"9" * 5000),
    *(b"0", b"-1", b"2147483648", b"9223372036854775808", b"1e309", b"NaN", b"-inf", b"1.5"),
    *(b"true", b"null", b"[]", b"{}", b"'", b'"', b"%", b"%00", b"*", b",,", b";", b"=", b"a,b"),
    *(b"../..", b"${a}", b"' OR 1=1 --", b"2026-13-45", b"2026-02-30T25:61:61Z"),
    *(b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59.999999-23:59", b"0" * 32, b"[::1"),
)
NAMES: Final = (
    *(b"accept", b"accept-encoding", b"accept-language", b"access-control-request-method"),
    *(b"connection", b"content-encoding", b"content-length", b"content-type", b"expect"),
    *(b"host", b"idempotency-key", b"if-match", b"if-modified-since", b"if-none-match"),
    *(b"last-event-id", b"origin", b"range", b"referer", b"sec-fetch-site", b"te"),
    *(b"traceparent", b"tracestate", b"transfer-encoding", b"upgrade", b"user-agent"),
    *(b"x-consistency-token", b"x-request-id", b"x-forwarded-for", b"x-forwarded-host"),
    *(b"x-forwarded-method", b"x-forwarded-proto", b"x-forwarded-uri", b"forwarded"),
)
CREDENTIALS: Final = (b"authorization", b"x-api-key", b"cookie")
VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    2**63,
    1.5,
    "",
    "a",
    "\0",
    [],
    [[]],
    {},
    {"a": []},
)
"""Values in place of a text."""
CLAIMS: Final = ("kind", "sub", "tenant", "scope", "sid", "exp", "iat", "iss", "aud")
HEADS: Final = ("alg", "typ", "kid", "crit", "b64", "jwk", "zip")
PARAMETERS: Final = {"queries": params.Query, "headers": params.Header, "cookies": params.Cookie}
BODIES: Final = (b"", b"\xff", b"{", b"[" * 5000, b"null", b"[]", b"{}", b'"\\ud800"', b"a=%ff&a=")


@dataclass(frozen=True, kw_only=True)
class RouteInputs:
    """A route with the names of its parameters; `body` is a small valid one."""

    method: str
    path: str
    queries: Sequence[str] = ()
    headers: Sequence[str] = ()
    cookies: Sequence[str] = ()
    body: Any = None


@dataclass(frozen=True, kw_only=True)
class RawRequest:
    """A request as in the ASGI scope. `path` is percent-encoded."""

    method: str
    path: str
    query: bytes
    headers: RawHeaders
    body: bytes


@dataclass
class Answer:
    """The status of a response, 0 without one, and the first part of its body."""

    status: int = 0
    headers: RawHeaders = field(default_factory=list)
    body: bytes = b""


def inputs_of(app: FastAPI) -> list[RouteInputs]:
    """Every HTTP route of the app, also those that its OpenAPI document does not contain."""
    with warnings.catch_warnings():
        # If two routes share a path, the document contains one of them.
        warnings.simplefilter("ignore", UserWarning)
        bodies = {(one.method, one.path): one.body() for one in routes_of(app.openapi())}
    inputs = []
    for context in iter_route_contexts(app.routes):
        if not isinstance(context.original_route, APIRoute):
            continue
        named = {
            name: [one.alias for one in get_flat_params(context.dependant) if _is(one, kind)]
            for name, kind in PARAMETERS.items()
        }
        path = str(context.path_format)
        for method in sorted(context.methods or ()):
            body = bodies.get((method, path.rstrip("/")))
            inputs.append(RouteInputs(method=method, path=path, body=body, **named))
    return inputs


def _is(one: Any, kind: type[params.Param]) -> bool:
    return isinstance(one.field_info, kind)


def raw_requests(
    route: RouteInputs, number: int, credentials: Credentials, ids: Sequence[str] = ()
) -> Iterator[RawRequest]:
    """Make `number` requests: half with valid, half with random credentials.

    `ids` are existing ids for parameters in paths.
    """
    chance = random.Random(f"{route.method} {route.path}")
    for n in range(number):
        authentication = credentials(chance) if n % 2 else _credentials(chance, route)
        headers = [(b"host", b"gateway"), (b"content-type", b"application/json"), *authentication]
        names = {*chance.sample(NAMES, chance.randint(0, 3))}
        names |= {name.encode() for name in route.headers if chance.random() < 0.5}
        for name in sorted(names):
            headers = [one for one in headers if one[0] != name]
            headers += [(name, _wire(chance.choice(TEXTS)))] * chance.randint(1, 2)
        yield RawRequest(
            method=route.method,
            path=_path(chance, route.path, ids),
            query=_query(chance, route.queries),
            headers=headers,
            body=_body(chance, route.body),
        )


async def answer_of(
    app: Any, request: RawRequest, *, address: str = "127.0.0.1", kind: str = "http"
) -> Answer:
    """The app's response. An exception that leaves the app counts as status 500.

    With kind `websocket` the status is 101 if the app accepts the connection, 403 if it closes it.
    Raises AssertionError if the app does not answer in time.
    """
    exchange = _Exchange(request, kind)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await app(_scope(request, address, kind), exchange.receive, exchange.send)
    except TimeoutError as error:
        raise AssertionError(f"no answer to {request}") from error
    except Exception:  # noqa: BLE001 -- finding exceptions is the purpose
        exchange.answer.status = 500
    return exchange.answer


class _Exchange:
    """The ASGI messages of one request. The client disconnects once the response has begun."""

    def __init__(self, request: RawRequest, kind: str) -> None:
        http = {"type": "http.request", "body": request.body, "more_body": False}
        self._messages = [http if kind == "http" else {"type": "websocket.connect"}]
        self._kind = kind
        self._begun = asyncio.Event()
        self.answer = Answer()

    async def receive(self) -> Any:
        if self._messages:
            return self._messages.pop()
        await self._begun.wait()
        return {"type": f"{self._kind}.disconnect"}

    async def send(self, message: Any) -> None:
        answer = self.answer
        match message["type"].removeprefix("websocket."):
            case "http.response.start":
                answer.status, answer.headers = message["status"], list(message["headers"])
            case "accept" | "close" as action:
                answer.status = answer.status or (101 if action == "accept" else 403)
                self._begun.set()
            case _:
                answer.body += message.get("body", b"")
                self._begun.set()


def _scope(request: RawRequest, address: str, kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}} if kind == "websocket" else {},
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(request.path, errors="replace"),
        "raw_path": request.path.encode(),
        "query_string": request.query,
        "root_path": "",
        "headers": request.headers,
        "client": (address, 5555),
        "server": ("127.0.0.1", 80),
    }


async def assert_no_request_breaks(
    app: Any,
    routes: Iterable[RouteInputs],
    credentials: Credentials,
    *,
    per_route: int,
    ids: Sequence[str] = (),
    allowed: Collection[int] = (),
    kind: str = "http",
) -> int:
    """Assert that no request gets a 5xx or no response. Returns the number of different responses.

    Every route gets `per_route` requests, one after the other, from many addresses. `allowed` are
    statuses of 5xx by which routes report a service that the test lacks. `kind` is that of
    `answer_of`.
    """
    broken: list[str] = []
    seen: set[tuple[str, str, int]] = set()
    for number, route in enumerate(routes):
        for n, request in enumerate(raw_requests(route, per_route, credentials, ids)):
            address = f"10.{number % 250}.{n % 250}.1"
            answer = await answer_of(app, request, address=address, kind=kind)
            seen.add((route.method, route.path, answer.status))
            answered = 200 <= answer.status < 500 or answer.status in allowed
            if not answered or b"Traceback" in answer.body:
                broken.append(f"{answer.status} {route.path} {request} {answer.body[:200]!r}")
    assert not broken, f"{len(broken)} failures, such as " + "\n".join(broken[:20])
    return len(seen)


def token(header: Mapping[str, Any], claims: Any, signature: bytes = b"c") -> bytes:
    """A bearer token with this header, these claims and an invalid signature."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return b"Bearer " + b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def _credentials(chance: random.Random, route: RouteInputs) -> RawHeaders:
    headers: RawHeaders = []
    for name in chance.sample(CREDENTIALS, chance.randint(0, 2)):
        for _ in range(chance.choice((1, 1, 1, 2))):
            headers.append((name, _CREDENTIAL[name](chance, route)))
    return headers


def _authorization(chance: random.Random, _: RouteInputs) -> bytes:
    if chance.random() < 0.3:
        scheme = chance.choice((b"Bearer ", b"bearer", b"Bearer a.b.", b"Basic ", b""))
        return scheme + _wire(chance.choice(TEXTS))
    header = {"alg": "EdDSA", "typ": "access", "kid": "a"}
    claims: Any = {"kind": chance.choice(("crm", "kiosk", "scales")), "sub": "a"}
    header[chance.choice(HEADS)] = chance.choice(VALUES)
    claims[chance.choice(CLAIMS)] = chance.choice(VALUES)
    if chance.random() < 0.1:
        claims = chance.choice(VALUES)
    return token(header, claims, chance.choice(TEXTS[:8]))


def _key(chance: random.Random, _: RouteInputs) -> bytes:
    return _wire(chance.choice(TEXTS))


def _cookie(chance: random.Random, route: RouteInputs) -> bytes:
    name = chance.choice((*route.cookies, "refresh_token", "tillstream_page", "", "a b")).encode()
    template = chance.choice((b"%s=%s", b'%s="%s"', b'%s="\\377%s', b"%s=%s; %s", b"%s%s;=;;"))
    value = _wire(chance.choice(TEXTS))
    return template.replace(b"%s", name, 1).replace(b"%s", value)


_CREDENTIAL: Final = {
    b"authorization": _authorization,
    b"x-api-key": _key,
    b"cookie": _cookie,
}


def _path(chance: random.Random, path: str, ids: Sequence[str]) -> str:
    """The path with a random value for each parameter."""
    known = [one.encode() for one in ids]
    parts = [
        (_encoded(chance.choice((*TEXTS, *known, *known * 10))) or "a") if part[:1] == "{" else part
        for part in path.split("/")
    ]
    filled = "/".join(parts)
    odd = ("", "", "", "", "", "/", "//", "/.", "/%2e%2e", "%00", "%ff", ";a=b", "/%E2%82")
    return filled + chance.choice(odd)


def _query(chance: random.Random, names: Sequence[str]) -> bytes:
    chosen = chance.sample(list(names), chance.randint(0, min(3, len(names))))
    pairs = [
        f"{name}={_encoded(chance.choice(TEXTS))}"
        for name in chosen
        for _ in range(chance.choice((1, 1, 1, 2)))
    ]
    odd = ("", "", "", "&", "=", "%", "a=%ff", "a=%ed%a0%80", "a" * 1000, "a[]=1", ";")
    return "&".join([*pairs, chance.choice(odd)]).encode() + chance.choice((b"", b"", b"\xff"))


def _body(chance: random.Random, sample: Any) -> bytes:
    if sample is None or chance.random() < 0.2:
        return chance.choice(BODIES)
    body = json.loads(json.dumps(sample))
    if isinstance(body, dict) and body and chance.random() < 0.7:
        text = chance.choice(TEXTS).decode("utf-8", "replace")
        body[chance.choice(sorted(body))] = chance.choice((*VALUES, text, text, "\ud800"))
    return json.dumps(body).encode()


def _encoded(text: bytes) -> str:
    return quote(text[:2000], safe="")


def _wire(value: bytes) -> bytes:
    """The characters that a header may contain: no control characters but tab (RFC 9110 §5.5)."""
    return bytes(byte for byte in value if byte == 0x09 or (byte >= 0x20 and byte != 0x7F))
