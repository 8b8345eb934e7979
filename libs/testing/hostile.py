"""Requests with anything in their headers, cookies, queries, paths and bodies, for every route.

The routes come from the app, so a new one is tried without being listed anywhere. What is tried of
a route follows from its method and path alone: a run that fails fails again.
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
"""Headers of some caller who may use some routes."""

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
"""What stands where a text is expected."""
CLAIMS: Final = ("kind", "sub", "tenant", "scope", "sid", "exp", "iat", "iss", "aud")
HEADS: Final = ("alg", "typ", "kid", "crit", "b64", "jwk", "zip")
PLACES: Final = {"queries": params.Query, "headers": params.Header, "cookies": params.Cookie}
BODIES: Final = (b"", b"\xff", b"{", b"[" * 5000, b"null", b"[]", b"{}", b'"\\ud800"', b"a=%ff&a=")


@dataclass(frozen=True, kw_only=True)
class Slots:
    """A route, and what a request to it may hold; `body` is a small one that its schema allows."""

    method: str
    path: str
    queries: Sequence[str] = ()
    headers: Sequence[str] = ()
    cookies: Sequence[str] = ()
    body: Any = None


@dataclass(frozen=True, kw_only=True)
class RawRequest:
    """A request as an ASGI server hands it over. `path` is percent-encoded."""

    method: str
    path: str
    query: bytes
    headers: RawHeaders
    body: bytes


@dataclass
class Answer:
    """The status of what was answered, 0 for nothing, and as much of it as came at once."""

    status: int = 0
    headers: RawHeaders = field(default_factory=list)
    body: bytes = b""


def slots_of(app: FastAPI) -> list[Slots]:
    """Every route of the app that answers HTTP, those too that its document does not show."""
    with warnings.catch_warnings():
        # Of two routes that share a path the document shows one.
        warnings.simplefilter("ignore", UserWarning)
        bodies = {(one.method, one.path): one.body() for one in routes_of(app.openapi())}
    found = []
    for context in iter_route_contexts(app.routes):
        if not isinstance(context.original_route, APIRoute):
            continue
        named = {
            place: [one.alias for one in get_flat_params(context.dependant) if _is(one, kind)]
            for place, kind in PLACES.items()
        }
        path = str(context.path_format)
        for method in sorted(context.methods or ()):
            body = bodies.get((method, path.rstrip("/")))
            found.append(Slots(method=method, path=path, body=body, **named))
    return found


def _is(one: Any, kind: type[params.Param]) -> bool:
    return isinstance(one.field_info, kind)


def raw_requests(
    slots: Slots, number: int, credentials: Credentials, ids: Sequence[str] = ()
) -> Iterator[RawRequest]:
    """So many requests: half of them by callers who may, half with made-up credentials.

    `ids` are good ones for parameters in paths.
    """
    chance = random.Random(f"{slots.method} {slots.path}")
    for n in range(number):
        shown = credentials(chance) if n % 2 else _credentials(chance, slots)
        headers = [(b"host", b"gateway"), (b"content-type", b"application/json"), *shown]
        names = {*chance.sample(NAMES, chance.randint(0, 3))}
        names |= {name.encode() for name in slots.headers if chance.random() < 0.5}
        for name in sorted(names):
            headers = [one for one in headers if one[0] != name]
            headers += [(name, _wire(chance.choice(TEXTS)))] * chance.randint(1, 2)
        yield RawRequest(
            method=slots.method,
            path=_path(chance, slots.path, ids),
            query=_query(chance, slots.queries),
            headers=headers,
            body=_body(chance, slots.body),
        )


async def answer_of(
    app: Any, request: RawRequest, *, address: str = "127.0.0.1", kind: str = "http"
) -> Answer:
    """What the app answers. An exception that it lets out is a 500, as servers have it.

    Of the kind `websocket` it is asked to open one: 101 if it does, 403 if it closes it.
    """
    answer, begun = Answer(), asyncio.Event()
    http = {"type": "http.request", "body": request.body, "more_body": False}
    messages = [http if kind == "http" else {"type": "websocket.connect"}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        # An endless stream is ended by a client that goes away.
        await begun.wait()
        return {"type": f"{kind}.disconnect"}

    async def send(message: Any) -> None:
        match message["type"].removeprefix("websocket."):
            case "http.response.start":
                answer.status, answer.headers = message["status"], list(message["headers"])
            case "accept" | "close" as said:
                answer.status = answer.status or (101 if said == "accept" else 403)
                begun.set()
            case _:
                answer.body += message.get("body", b"")
                begun.set()

    scope = {
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
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await app(scope, receive, send)
    except TimeoutError as error:
        raise AssertionError(f"no answer to {request}") from error
    except Exception:  # noqa: BLE001 - that is what is looked for
        answer.status = 500
    return answer


async def assert_nothing_breaks(
    app: Any,
    routes: Iterable[Slots],
    credentials: Credentials,
    *,
    each: int,
    ids: Sequence[str] = (),
    but: Collection[int] = (),
    kind: str = "http",
) -> int:
    """Nothing in a request ends in a 5xx, nor in no answer; how many different answers there were.

    Of every route `each` of `raw_requests` are made, one after the other, from many addresses.
    `but` are statuses that say that what would answer is not there in the test; `kind` is as
    `answer_of` has it.
    """
    broken: list[str] = []
    seen: set[tuple[str, str, int]] = set()
    for number, slots in enumerate(routes):
        for n, request in enumerate(raw_requests(slots, each, credentials, ids)):
            address = f"10.{number % 250}.{n % 250}.1"
            answer = await answer_of(app, request, address=address, kind=kind)
            seen.add((slots.method, slots.path, answer.status))
            answered = 200 <= answer.status < 500 or answer.status in but
            if not answered or b"Traceback" in answer.body:
                broken.append(f"{answer.status} {slots.path} {request} {answer.body[:200]!r}")
    assert not broken, f"{len(broken)} of them, such as " + "\n".join(broken[:20])
    return len(seen)


def token(header: Mapping[str, Any], claims: Any, signature: bytes = b"c") -> bytes:
    """A bearer's header with a token that says this; nobody signed it."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return b"Bearer " + b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def _credentials(chance: random.Random, slots: Slots) -> RawHeaders:
    shown: RawHeaders = []
    for name in chance.sample(CREDENTIALS, chance.randint(0, 2)):
        for _ in range(chance.choice((1, 1, 1, 2))):
            shown.append((name, _CREDENTIAL[name](chance, slots)))
    return shown


def _authorization(chance: random.Random, _: Slots) -> bytes:
    if chance.random() < 0.3:
        scheme = chance.choice((b"Bearer ", b"bearer", b"Bearer a.b.", b"Basic ", b""))
        return scheme + _wire(chance.choice(TEXTS))
    said = {"alg": "EdDSA", "typ": "access", "kid": "a"}
    claims: Any = {"kind": chance.choice(("crm", "kiosk", "scales")), "sub": "a"}
    said[chance.choice(HEADS)] = chance.choice(VALUES)
    claims[chance.choice(CLAIMS)] = chance.choice(VALUES)
    if chance.random() < 0.1:
        claims = chance.choice(VALUES)
    return token(said, claims, chance.choice(TEXTS[:8]))


def _key(chance: random.Random, _: Slots) -> bytes:
    return _wire(chance.choice(TEXTS))


def _cookie(chance: random.Random, slots: Slots) -> bytes:
    name = chance.choice((*slots.cookies, "refresh_token", "tillstream_page", "", "a b")).encode()
    spelled = chance.choice((b"%s=%s", b'%s="%s"', b'%s="\\377%s', b"%s=%s; %s", b"%s%s;=;;"))
    value = _wire(chance.choice(TEXTS))
    return spelled.replace(b"%s", name, 1).replace(b"%s", value)


_CREDENTIAL: Final = {
    b"authorization": _authorization,
    b"x-api-key": _key,
    b"cookie": _cookie,
}


def _path(chance: random.Random, path: str, ids: Sequence[str]) -> str:
    """The path with something in the place of each parameter."""
    known = [one.encode() for one in ids]
    parts = [
        (_encoded(chance.choice((*TEXTS, *known, *known * 10))) or "a") if part[:1] == "{" else part
        for part in path.split("/")
    ]
    spelled = "/".join(parts)
    odd = ("", "", "", "", "", "/", "//", "/.", "/%2e%2e", "%00", "%ff", ";a=b", "/%E2%82")
    return spelled + chance.choice(odd)


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
    said = json.loads(json.dumps(sample))
    if isinstance(said, dict) and said and chance.random() < 0.7:
        text = chance.choice(TEXTS).decode("utf-8", "replace")
        said[chance.choice(sorted(said))] = chance.choice((*VALUES, text, text, "\ud800"))
    return json.dumps(said).encode()


def _encoded(text: bytes) -> str:
    return quote(text[:2000], safe="")


def _wire(value: bytes) -> bytes:
    """What of it may stand in a header: no control characters but the tab (RFC 9110 §5.5)."""
    return bytes(byte for byte in value if byte == 0x09 or (byte >= 0x20 and byte != 0x7F))
