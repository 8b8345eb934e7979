"""Bodies of our own routes that are too long, or do not come."""

from typing import Any

import pytest
from httpx import AsyncClient

from tests.services.gateway.conftest import Exchange, Keys, Service, open_app

KEYS, CHANGE = "/api/v1/keys", "/api/v1/account/password"
TOKEN, PAGE = "/oauth/token", "/oauth/device"


@pytest.mark.parametrize("path", [KEYS, CHANGE, TOKEN, PAGE])
async def test_a_body_without_end_is_cut_off(gateway: AsyncClient, path: str) -> None:
    kind = "application/json" if path.startswith("/api") else "application/x-www-form-urlencoded"

    answer = await gateway.post(path, content=b" " * 70_000, headers={"Content-Type": kind})

    assert answer.status_code == 413


@pytest.mark.parametrize("path", [KEYS, CHANGE, TOKEN, PAGE])
async def test_a_body_that_does_not_come_is_not_waited_for(
    service: Service, keys: Keys, path: str
) -> None:
    kind = b"application/json" if path.startswith("/api") else b"application/x-www-form-urlencoded"
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"gateway"), (b"content-type", kind)],
        "client": ("127.0.0.1", 5555),
        "server": ("127.0.0.1", 80),
        "extensions": {},
    }
    exchange = Exchange()
    exchange.incoming.put_nowait({"type": "http.request", "body": b"a", "more_body": True})

    async with open_app(service, keys, body_seconds=0.05) as app:
        await app(scope, exchange.receive, exchange.send)

    assert (await exchange.next())["status"] == 408
