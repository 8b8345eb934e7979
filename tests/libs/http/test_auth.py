"""Callers, their tokens, and the routes that ask for them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest
from aiohttp import web
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.responses import PlainTextResponse

from libs.errors import Unauthenticated, Unavailable
from libs.http import auth
from libs.http.app import create_app
from libs.http.auth import Principal, TokenVerifier, public, require
from libs.http.client import open_client
from libs.http.undeclared import undeclared_routes
from libs.security.tokens import MAX_INTERNAL_LIFETIME, SigningKey, issue, jwks
from libs.testing.callers import client_of
from libs.testing.clock import Clock
from libs.testing.polling import eventually
from libs.testing.servers import http_routes

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
KEY = SigningKey.generate()
ANNA = Principal("anna", "flora", frozenset({"scan:read"}), "person")


def bearer(*, key: SigningKey = KEY, **changed: Any) -> str:
    given: dict[str, Any] = {
        "subject": "anna",
        "tenant": "flora",
        "scopes": ["scan:read"],
        "kind": "person",
        "audience": "ingest",
        "issuer": "gateway",
        "now": NOW,
        "lifetime": timedelta(minutes=5),
    }
    return "Bearer " + issue(key, **(given | changed))


@dataclass
class Gateway:
    """Publishes keys, when it is there."""

    keys: list[SigningKey]
    calls: int = 0
    away: bool = False
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, _: web.Request) -> web.Response:
        self.calls += 1
        await self.hold.wait()
        if self.away:
            return web.Response(status=503)
        return web.json_response(jwks(self.keys))


@asynccontextmanager
async def fetching(gateway: Gateway) -> AsyncIterator[TokenVerifier]:
    gateway.hold.set()
    async with http_routes(jwks=gateway.answer) as url, open_client() as session:
        yield verifier(jwks_url=f"{url}/jwks", session=session)


def verifier(**options: Any) -> TokenVerifier:
    """A verifier at noon, which knows one key unless it fetches some."""
    given: dict[str, Any] = {"audience": "ingest", "issuer": "gateway", "clock": Clock(NOW)}
    keys = {} if "jwks_url" in options else {"keys": {KEY.kid: KEY.public}}
    return TokenVerifier(**(given | keys | options))


async def test_a_valid_token_identifies_the_caller() -> None:
    assert await verifier().principal(bearer()) == ANNA


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer ё", "a" * 9999]
)
async def test_other_authorization_headers_are_refused(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        await verifier().principal(header)


async def test_a_remembered_token_expires_like_any_other() -> None:
    clock = Clock(NOW)
    checked = verifier(clock=clock)
    token = bearer()
    await checked.principal(token)

    clock.advance(minutes=5)

    with pytest.raises(Unauthenticated):
        await checked.principal(token)


async def test_a_token_of_a_revoked_session_is_refused_also_when_it_is_remembered() -> None:
    revoked = set[str]()
    checked = verifier(revoked=revoked.__contains__)
    over, alive = bearer(session="s1"), bearer(session="s2")
    assert (await checked.principal(over)).session == "s1"

    revoked.add("s1")

    for token in (over, bearer(session="s1", subject="anna again")):
        for _ in range(2):
            with pytest.raises(Unauthenticated):
                await checked.principal(token)
    assert (await checked.principal(alive)).session == "s2"
    assert (await checked.principal(bearer())).session == ""


async def test_only_the_sessions_of_long_lived_tokens_are_checked_to_be_live() -> None:
    live, calls = {"s1"}, list[str]()

    async def is_live(session: str) -> bool:
        calls.append(session)
        return session in live

    checked = verifier(live=is_live)
    long = MAX_INTERNAL_LIFETIME + timedelta(seconds=1)
    short, lasting = (
        bearer(session="s1", lifetime=MAX_INTERNAL_LIFETIME),
        bearer(session="s1", lifetime=long),
    )
    await checked.principal(short)
    await checked.principal(bearer(lifetime=long))
    assert calls == []

    for _ in range(2):
        assert (await checked.principal(lasting)).session == "s1"
    live.clear()
    with pytest.raises(Unauthenticated):
        await checked.principal(lasting)
    assert calls == ["s1"] * 3
    await checked.principal(short)


async def test_a_person_s_token_is_valid_only_where_its_type_is_expected() -> None:
    token, door = bearer(typ="access"), verifier(typ="access")

    assert await door.principal(token) == ANNA
    with pytest.raises(Unauthenticated):
        await verifier().principal(token)
    with pytest.raises(Unauthenticated):
        await door.principal(bearer())


async def test_a_token_is_checked_once_and_then_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    checked, token = verifier(), bearer()
    await checked.principal(token)

    monkeypatch.setattr(auth, "verify", pytest.fail)

    assert await checked.principal(token) == ANNA


async def test_no_more_tokens_are_remembered_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth, "CACHE_SIZE", 3)
    checked = verifier()

    for number in range(9):
        await checked.principal(bearer(subject=str(number)))

    assert len(checked._cache) == 3


async def test_keys_are_fetched_when_first_needed_by_one_request_for_all() -> None:
    gateway = Gateway([KEY])
    async with fetching(gateway) as checked:
        gateway.hold.clear()
        asking = [asyncio.create_task(checked.principal(bearer(subject=str(n)))) for n in range(5)]
        await eventually(lambda: gateway.calls)
        gateway.hold.set()
        callers = await asyncio.gather(*asking)

    assert [caller.subject for caller in callers] == ["0", "1", "2", "3", "4"]
    assert gateway.calls == 1


async def test_keys_that_could_not_be_fetched_are_fetched_again_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = Gateway([])  # an empty set is none
    monkeypatch.setattr(auth, "RETRY_SECONDS", 0)
    async with fetching(gateway) as checked:
        with pytest.raises(Unavailable):
            await checked.principal(bearer())
        gateway.keys = [KEY]

        assert await checked.principal(bearer()) == ANNA


@pytest.fixture
def refetching(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys may be fetched again at once."""
    monkeypatch.setattr(auth, "REFETCH_SECONDS", 0)


@pytest.mark.usefixtures("refetching")
async def test_a_new_key_is_fetched_when_a_token_names_it() -> None:
    old, new = SigningKey.generate(), SigningKey.generate()
    gateway = Gateway([old])
    async with fetching(gateway) as checked:
        await checked.principal(bearer(key=old))
        gateway.keys = [old, new]

        assert await checked.principal(bearer(key=new)) == ANNA

    assert gateway.calls == 2


@pytest.mark.usefixtures("refetching")
async def test_a_withdrawn_key_is_good_no_more_once_the_key_set_is_renewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = SigningKey.generate(), SigningKey.generate()
    gateway = Gateway([old, new])
    async with fetching(gateway) as checked:
        remembered = bearer(key=old)
        await checked.principal(remembered)
        gateway.keys = [new]
        await checked.principal(bearer(key=old, subject="boris"))
        assert gateway.calls == 1

        monkeypatch.setattr(auth, "RENEW_SECONDS", 0)
        await checked.principal(bearer(key=new))

        for token in (remembered, bearer(key=old, subject="boris")):
            with pytest.raises(Unauthenticated):
                await checked.principal(token)


async def test_tokens_with_invented_keys_do_not_flood_the_gateway() -> None:
    gateway = Gateway([KEY])
    async with fetching(gateway) as checked:
        await checked.principal(bearer())
        for _ in range(5):
            with pytest.raises(Unauthenticated):
                await checked.principal(bearer(key=SigningKey.generate()))

    assert gateway.calls == 1


@pytest.mark.usefixtures("refetching")
async def test_known_keys_stay_good_while_the_gateway_is_away() -> None:
    gateway = Gateway([KEY])
    async with fetching(gateway) as checked:
        await checked.principal(bearer())
        gateway.away = True

        with pytest.raises(Unauthenticated):
            await checked.principal(bearer(key=SigningKey.generate()))
        boris = await checked.principal(bearer(subject="boris"))
        assert boris.subject == "boris"

    assert gateway.calls == 2


async def test_without_any_key_the_service_is_unavailable() -> None:
    gateway = Gateway([SigningKey.generate()], away=True)
    async with fetching(gateway) as checked:
        with pytest.raises(Unavailable):
            await checked.principal(bearer(key=gateway.keys[0]))


@dataclass(frozen=True)
class Deps:
    verifier: TokenVerifier


def protected_app() -> FastAPI:
    router = APIRouter(prefix="/scans")

    @router.get("")
    async def read(caller: Annotated[Principal, Depends(require("scan:read"))]) -> str:
        return caller.tenant

    @router.post("", dependencies=[Depends(require("scan:write"))])
    async def write(body: dict[str, int]) -> None:
        pass

    async def own_subject(caller: Annotated[Principal, Depends(require("scan:own"))]) -> str:
        return caller.subject

    @router.get("/own")
    async def read_own(subject: Annotated[str, Depends(own_subject)]) -> str:
        return subject

    return create_app(title="test", routers=[router], deps=Deps(verifier()), checks={})


async def test_a_route_admits_callers_with_its_permission() -> None:
    headers = {"Authorization": bearer()}
    async with client_of(protected_app()) as client:
        anonymous = await client.get("/scans")
        anna = await client.get("/scans", headers=headers)
        anna_writes = await client.post("/scans", headers=headers, json={})
        nobody_writes = await client.post("/scans", json={"a": "no number"})

    assert (anonymous.status_code, anonymous.json()["type"]) == (401, "Unauthenticated")
    assert (anna.status_code, anna.json()) == (200, "flora")
    assert (anna_writes.status_code, anna_writes.json()["type"]) == (403, "Forbidden")
    assert nobody_writes.status_code == 401


def test_an_app_whose_routes_all_declare_access_has_no_undeclared_routes() -> None:
    # One of them through a dependency of a dependency.
    assert undeclared_routes(protected_app()) == []


def test_every_route_without_a_declaration_is_undeclared() -> None:
    app = protected_app()
    open_router, inner = APIRouter(dependencies=[Depends(public)]), APIRouter(prefix="/inner")

    @open_router.get("/open")
    async def open_() -> None:
        pass

    @inner.get("/forgotten/{id}")
    async def forgotten(id: str) -> None:
        pass

    @app.websocket("/socket")
    async def socket() -> None:
        pass

    outer = APIRouter(prefix="/outer")
    outer.include_router(inner)
    app.include_router(open_router)
    app.include_router(outer)
    app.include_router(inner, prefix="/closed", dependencies=[Depends(require("x"))])
    app.add_route("/plain", lambda _: PlainTextResponse("x"))
    app.mount("/mounted", FastAPI())

    assert undeclared_routes(app) == [
        "* /mounted",
        "* /socket",
        "GET /outer/inner/forgotten/{id}",
        "GET,HEAD /plain",
    ]


async def test_a_websocket_declares_and_demands_as_a_route_does() -> None:
    app = protected_app()

    @app.websocket("/live")
    async def live(
        socket: WebSocket, caller: Annotated[Principal, Depends(require("scan:read"))]
    ) -> None:
        await socket.accept()
        await socket.send_text(caller.tenant)
        await socket.close()

    assert undeclared_routes(app) == []
    assert await shaken(app, bearer()) == ["websocket.accept", "websocket.send: flora"]
    assert await shaken(app, bearer(scopes=["scan:write"])) == ["websocket.http.response.start 403"]
    assert await shaken(app, "") == ["websocket.http.response.start 401"]


async def shaken(app: FastAPI, authorization: str) -> list[str]:
    """What an app answers to a handshake, without bodies and closings."""
    sent: list[str] = []

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, object]) -> None:
        given = [str(message[name]) for name in ("status",) if name in message]
        text = f": {message['text']}" if "text" in message else ""
        if message["type"] not in ("websocket.close", "websocket.http.response.body"):
            sent.append(" ".join([str(message["type"]), *given]) + text)

    scope = {
        "type": "websocket",
        "path": "/live",
        "headers": [(b"authorization", authorization.encode())],
        "query_string": b"",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
    await app(scope, receive, send)  # type: ignore[arg-type]
    return sent
