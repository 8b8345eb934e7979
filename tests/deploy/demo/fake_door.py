"""The scales' door in a dictionary: its scales are the very files the demo compares with."""

import json
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from deploy.demo.fleet import Scale
from tests.deploy.demo.fake import Answer, json_server

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


def serving_scales(shop: Shop) -> AbstractAsyncContextManager[str]:
    for scale in shop.scales:
        products = [{"pluNumber": n, "price": 1.0} for n in range(1, 10)]
        shop.base(scale.name).write_text(json.dumps({"products": products}))
    routes = (
        web.post("/auth/register", partial(_register, shop)),
        web.post("/auth/login", partial(_login, shop)),
        web.get("/devices", partial(_devices, shop)),
        web.post("/devices", partial(_create, shop)),
        web.get("/devices/board", partial(_board, shop)),
        web.put("/devices/{n}", partial(_update, shop)),
        web.get("/devices/{n}/products", partial(_fetch, shop)),
        web.get("/devices/{n}/products/cached", partial(_cached, shop)),
        web.patch("/devices/{n}/products/{plu}", partial(_patch, shop)),
        web.post("/devices/{n}/upload", partial(_upload, shop)),
    )
    return json_server(routes, partial(_refused, shop))


def _refused(shop: Shop, request: web.Request) -> Answer | None:
    where = request.path.split("/")[-1]
    shop.asked[where] = shop.asked.get(where, 0) + 1
    if shop.asked[where] <= shop.trouble:
        return 503, {"detail": "not now"}
    is_open = request.path.startswith("/auth")
    if not is_open and request.headers.get("Authorization") != f"Bearer {TOKEN}":
        return 401, {"detail": "Not authenticated"}
    return None


def _number(request: web.Request) -> int:
    return int(request.match_info["n"])


async def _register(shop: Shop, request: web.Request) -> Any:
    body = await request.json()
    if body["email"] in shop.accounts:
        return 409, {"detail": "Email already registered"}
    shop.accounts[body["email"]] = body["password"]
    return 201, {"id": 1, "email": body["email"]}


async def _login(shop: Shop, request: web.Request) -> Any:
    form = await request.post()
    if shop.accounts.get(str(form["username"])) != form["password"]:
        return 401, {"detail": "Incorrect username or password"}
    return {"access_token": TOKEN, "token_type": "bearer"}


async def _devices(shop: Shop, request: web.Request) -> Any:
    return [{"id": n, **each, "cached_dirty": n in shop.dirty} for n, each in shop.devices.items()]


async def _create(shop: Shop, request: web.Request) -> Any:
    body = await request.json()
    number = len(shop.devices) + 1
    shop.devices[number] = {key: body[key] for key in ("name", "ip", "port")}
    return 201, {"id": number}


async def _update(shop: Shop, request: web.Request) -> Any:
    shop.devices[_number(request)] |= await request.json()
    return {"id": _number(request)}


async def _fetch(shop: Shop, request: web.Request) -> Any:
    number = _number(request)
    if shop.kind(number) == "dead":
        return 503, {"detail": "gone", "code": "Unreachable"}
    held = json.loads(shop.base(shop.devices[number]["name"]).read_text())
    shop.copies[number] = held["products"]
    return {"products": held}


async def _cached(shop: Shop, request: web.Request) -> Any:
    return {"products": {"products": shop.copies.get(_number(request), [])}}


async def _patch(shop: Shop, request: web.Request) -> Any:
    number = _number(request)
    fields = (await request.json())["fields"]
    for product in shop.copies[number]:
        if str(product["pluNumber"]) == request.match_info["plu"]:
            product.update(fields)
    shop.dirty.add(number)
    return {"products": {"products": shop.copies[number]}}


async def _upload(shop: Shop, request: web.Request) -> Any:
    number = _number(request)
    if shop.kind(number) == "liar":
        return 503, {"detail": "lies", "code": "NotShown"}
    name = shop.devices[number]["name"]
    if name != shop.forgets:
        shop.base(name).write_text(json.dumps({"products": shop.copies[number]}))
    shop.dirty.discard(number)
    return {"status": "ok"}


async def _board(shop: Shop, request: web.Request) -> Any:
    states = {"dead": ("unreachable", "gone"), "liar": ("lying", "shows something else")}
    acknowledged = []
    for number, device in shop.devices.items():
        state, reason = states.get(shop.kind(number), ("ok", "all is well"))
        acknowledged.append({"name": device["name"], "state": state, "reason": reason})
    listed = [one for one in acknowledged if one["name"] != shop.hushes]
    return {"at": "now", "devices": listed}
