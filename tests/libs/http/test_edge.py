"""What a head may say once, and bodies that break off."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.requests import Request

from libs.http.app import create_app
from libs.http.auth import public
from libs.testing.hostile import Answer, RawHeaders, RawRequest, answer_of

OPEN = [Depends(public)]


def an_app() -> FastAPI:
    router = APIRouter(dependencies=OPEN)

    @router.get("/shown")
    async def echo(request: Request) -> list[str | None]:
        return [request.headers.get(name) for name in ("authorization", "x-api-key", "x-note")]

    @router.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    @router.websocket("/live")
    async def live(socket: WebSocket, _: Annotated[None, Depends(public)]) -> None:
        await socket.accept()

    return create_app(title="test", routers=[router], deps=None, checks={})


async def get(path: str, *headers: tuple[bytes, bytes]) -> Answer:
    named: RawHeaders = [(b"host", b"evil.example"), *headers]
    return await answer_of(
        an_app(), RawRequest(method="GET", path=path, query=b"", headers=named, body=b"")
    )


async def test_repeated_credentials_are_joined_in_any_order() -> None:
    for name in (b"authorization", b"x-api-key"):
        answer = await get("/shown", (name, b"a"), (b"x-note", b"1"), (name, b"b"))

        assert b'"a, b"' in answer.body
        assert b'"1"' in answer.body


@pytest.mark.parametrize("host", [b"evil.example", b"other.example", b""])
async def test_several_hosts_are_refused(host: bytes) -> None:
    assert (await get("/shown")).status == 200

    assert (await get("/shown", (b"host", host))).status == 400
    assert (await get("/nowhere", (b"host", host))).status == 400


async def test_a_body_that_breaks_off_is_a_bad_request() -> None:
    answer = Answer()

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        answer.status = message.get("status", answer.status)
        answer.body += message.get("body", b"")

    scope = {"type": "http", "method": "POST", "path": "/body", "headers": [], "query_string": b""}
    await an_app()(scope, receive, send)  # type: ignore[arg-type]

    assert answer.status == 400
    assert b"framed badly" in answer.body


@pytest.mark.parametrize("hosts", [1, 2])
async def test_a_websocket_with_two_hosts_is_not_accepted(hosts: int) -> None:
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, str]) -> None:
        sent.append(message["type"])

    scope = {
        "type": "websocket",
        "path": "/live",
        "query_string": b"",
        "headers": [(b"host", b"a")] * hosts,
        "subprotocols": [],
    }
    await an_app()(scope, receive, send)  # type: ignore[arg-type]

    assert sent == ["websocket.accept" if hosts == 1 else "websocket.close"]
