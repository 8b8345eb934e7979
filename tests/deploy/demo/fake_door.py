"""The scales' door in a dictionary: its scales are the very files the demo compares with."""

import json
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from deploy.demo.fleet import Scale
from libs.testing.servers import http_server

TOKEN = "a-token-for-tests-only"


@dataclass(kw_only=True)
class Shop:
    """What the fake knows. The first `trouble` requests of each kind fail; `forgets` is a scale
    whose uploads are lost although they are said to be done, `hushes` one the board is silent of.
    """

    home: Path
    scales: list[Scale]
    trouble: int = 0
    forgets: str = ""
    hushes: str = ""
    accounts: dict[str, str] = field(default_factory=dict)
    devices: dict[int, dict[str, Any]] = field(default_factory=dict)
    copies: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    dirty: set[int] = field(default_factory=set)
    asked: dict[str, int] = field(default_factory=dict)

    def base(self, name: str) -> Path:
        """Where a scale keeps its products."""
        return self.home / "scales" / f"{name}.json"

    def kind(self, number: int) -> str:
        """What a device is, by its port."""
        port = self.devices[number]["port"]
        return next(scale.kind for scale in self.scales if scale.port == port)


SHOP = web.AppKey("shop", Shop)


def serving_scales(shop: Shop) -> AbstractAsyncContextManager[str]:
    """The fake on a free port; yields its URL."""
    for scale in shop.scales:
        products = [{"pluNumber": n, "price": 1.0} for n in range(1, 10)]
        shop.base(scale.name).write_text(json.dumps({"products": products}))
    app = web.Application(middlewares=[_troubled])
    app[SHOP] = shop
    app.add_routes(
        [
            web.post("/auth/register", _register),
            web.post("/auth/login", _login),
            web.get("/devices", _devices),
            web.post("/devices", _create),
            web.get("/devices/board", _board),
            web.put("/devices/{n}", _update),
            web.get("/devices/{n}/products", _fetch),
            web.get("/devices/{n}/products/cached", _cached),
            web.patch("/devices/{n}/products/{plu}", _patch),
            web.post("/devices/{n}/upload", _upload),
        ]
    )
    return http_server(app)


@web.middleware
async def _troubled(request: web.Request, handler: Any) -> web.StreamResponse:
    shop, where = request.app[SHOP], request.path.split("/")[-1]
    shop.asked[where] = shop.asked.get(where, 0) + 1
    if shop.asked[where] <= shop.trouble:
        return web.json_response({"detail": "not now"}, status=503)
    is_open = request.path.startswith("/auth")
    if not is_open and request.headers.get("Authorization") != f"Bearer {TOKEN}":
        return web.json_response({"detail": "Not authenticated"}, status=401)
    response: web.StreamResponse = await handler(request)
    return response


def _at(request: web.Request) -> tuple[Shop, int]:
    return request.app[SHOP], int(request.match_info["n"])


async def _register(request: web.Request) -> web.Response:
    shop, body = request.app[SHOP], await request.json()
    if body["email"] in shop.accounts:
        return web.json_response({"detail": "Email already registered"}, status=409)
    shop.accounts[body["email"]] = body["password"]
    return web.json_response({"id": 1, "email": body["email"]}, status=201)


async def _login(request: web.Request) -> web.Response:
    shop, form = request.app[SHOP], await request.post()
    if shop.accounts.get(str(form["username"])) != form["password"]:
        return web.json_response({"detail": "Incorrect username or password"}, status=401)
    return web.json_response({"access_token": TOKEN, "token_type": "bearer"})


async def _devices(request: web.Request) -> web.Response:
    shop = request.app[SHOP]
    return web.json_response(
        [{"id": n, **each, "cached_dirty": n in shop.dirty} for n, each in shop.devices.items()]
    )


async def _create(request: web.Request) -> web.Response:
    shop, body = request.app[SHOP], await request.json()
    number = len(shop.devices) + 1
    shop.devices[number] = {key: body[key] for key in ("name", "ip", "port")}
    return web.json_response({"id": number}, status=201)


async def _update(request: web.Request) -> web.Response:
    shop, number = _at(request)
    shop.devices[number] |= await request.json()
    return web.json_response({"id": number})


async def _fetch(request: web.Request) -> web.Response:
    shop, number = _at(request)
    if shop.kind(number) == "dead":
        return web.json_response({"detail": "gone", "code": "Unreachable"}, status=503)
    held = json.loads(shop.base(shop.devices[number]["name"]).read_text())
    shop.copies[number] = held["products"]
    return web.json_response({"products": held})


async def _cached(request: web.Request) -> web.Response:
    shop, number = _at(request)
    return web.json_response({"products": {"products": shop.copies.get(number, [])}})


async def _patch(request: web.Request) -> web.Response:
    shop, number = _at(request)
    fields = (await request.json())["fields"]
    for product in shop.copies[number]:
        if str(product["pluNumber"]) == request.match_info["plu"]:
            product.update(fields)
    shop.dirty.add(number)
    return web.json_response({"products": {"products": shop.copies[number]}})


async def _upload(request: web.Request) -> web.Response:
    shop, number = _at(request)
    if shop.kind(number) == "liar":
        return web.json_response({"detail": "lies", "code": "NotShown"}, status=503)
    name = shop.devices[number]["name"]
    if name != shop.forgets:
        shop.base(name).write_text(json.dumps({"products": shop.copies[number]}))
    shop.dirty.discard(number)
    return web.json_response({"status": "ok"})


async def _board(request: web.Request) -> web.Response:
    shop = request.app[SHOP]
    states = {"dead": ("unreachable", "gone"), "liar": ("lying", "shows something else")}
    told = []
    for number, device in shop.devices.items():
        state, reason = states.get(shop.kind(number), ("ok", "all is well"))
        told.append({"name": device["name"], "state": state, "reason": reason})
    listed = [one for one in told if one["name"] != shop.hushes]
    return web.json_response({"at": "now", "devices": listed})
