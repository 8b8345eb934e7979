"""The office's day: one new price on ten scales, of which one is dead, one is slow, and one lies.

Everything goes through the gateway. What each scale shows in the end is read from its own product
base, not from what anybody says of it.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from deploy.demo.compare import Line
from deploy.demo.day import Beside, Manner
from deploy.demo.fleet import Kind, Scale, shown_by
from deploy.demo.office import Account, Office
from deploy.local import keys
from deploy.local.ports import LOOPBACK

PLU: Final = 7
EMAIL: Final = "office@shop.example"
LOOK_SECONDS: Final = 0.5
LOOKS: Final = 8
PERSISTENCE: Final = 3
"""How many times the lag of dashboards the house may take to learn who is dead and who lies."""
EXPECTED: Final[Mapping[Kind, str]] = {
    "well": "ok",
    "slow": "ok",
    "dead": "unreachable, with a reason",
    "liar": "lying, with a reason",
}
"""What the board must say of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    """What the office is to do: with which scales, and the price they shall show."""

    home: Path
    scales: list[Scale]
    price: float
    manner: Manner


def beside(tag: str, *, home: Path, url: str, scales: list[Scale], manner: Manner) -> Beside:
    """The office's part of the day with that tag; another day has another price."""
    account = Account(email=EMAIL, password=password_file(home).read_text())
    errand = Errand(home=home, scales=scales, price=price_of(tag), manner=manner)

    async def work(session: aiohttp.ClientSession) -> list[Line]:
        return await office_day(Office(session, url, account, patience=manner.patience), errand)

    return work


def password_file(home: Path) -> Path:
    """The file with the password of the office's account, made once."""
    return keys.token(home, "scales_password")


def price_of(tag: str) -> float:
    """A price of the day: whole minor units, other than most days'."""
    return (10_000 + int(tag, 16) % 90_000) / 100


def to_the_scales(url: str, home: Path) -> list[str]:
    """Where to look at the scales: the board wants whoever logged in."""
    login = f"username={EMAIL} --data-urlencode password@{password_file(home)}"
    read = """python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])'"""
    return [
        f"Scales    {EMAIL}, password in {password_file(home)}",
        "",
        f"  TOKEN=$(curl -s -d {login} {url}/auth/login | {read})",
        f'  curl -s -H "Authorization: Bearer $TOKEN" {url}/devices/board',
        "",
    ]


async def office_day(office: Office, errand: Errand) -> list[Line]:
    """Register, read, change, send, all scales side by side; then compare. Raises NoAnswer."""
    await office.log_in()
    numbers = await office.enrol(errand.scales)
    each = (_served(office, errand, scale, numbers[scale.name]) for scale in errand.scales)
    await asyncio.gather(*each)
    deadline = time.monotonic() + errand.manner.lag
    while True:
        lines = await _lines(office, errand, numbers)
        if all(line.agrees for line in lines) or time.monotonic() > deadline:
            return lines
        await asyncio.sleep(LOOK_SECONDS)


async def _served(office: Office, errand: Errand, scale: Scale, number: int) -> None:
    """Read the scale, change the price, send it. Of the two that are not well, what can be."""
    at = f"/devices/{number}"
    if scale.kind == "dead":
        await _until_named(office, errand, scale, "GET", f"{at}/products")
        return
    await office.insist("GET", f"{at}/products")
    changed = {"fields": {"price": errand.price}}
    await office.insist("PATCH", f"{at}/products/{PLU}", json=changed)
    if scale.kind == "liar":
        await _until_named(office, errand, scale, "POST", f"{at}/upload")
    else:
        await office.insist("POST", f"{at}/upload")


async def _until_named(
    office: Office, errand: Errand, scale: Scale, method: str, path: str
) -> None:
    """Try what must fail until the board knows: the house itself may have failed before that."""
    deadline = time.monotonic() + errand.manner.lag * PERSISTENCE
    while time.monotonic() < deadline:
        await office.ask(method, path)
        for _ in range(LOOKS):
            told = (await _board(office)).get(scale.name, {})
            if _said(told) == EXPECTED[scale.kind]:
                return
            await asyncio.sleep(LOOK_SECONDS)


async def _lines(office: Office, errand: Errand, numbers: Mapping[str, int]) -> list[Line]:
    board = await _board(office)
    listed = {one["id"]: one for one in (await office.insist("GET", "/devices")).body}
    found = []
    for scale in errand.scales:
        number = numbers[scale.name]
        if scale.kind in ("well", "slow"):
            found.append(await _price_line(office, errand, scale, listed[number]))
        told = board.get(scale.name, {})
        reason = f": {told['reason']}" if scale.kind in ("dead", "liar") and told else ""
        what = f"{scale.name}: the board says{reason}"
        found.append(Line(what=what, sent=EXPECTED[scale.kind], shown=_said(told)))
    where = tuple(f"{LOOPBACK}:{scale.port}" for scale in errand.scales)
    known = tuple(f"{one['ip']}:{one['port']}" for one in listed.values())
    what = "scales: registered"
    count = len(set(where) & set(known))
    return [Line(what=what, sent=len(where), shown=count), *found]


async def _price_line(
    office: Office, errand: Errand, scale: Scale, listed: Mapping[str, Any]
) -> Line:
    """On the scale itself, in the copy, and whether the list calls the copy clean."""
    path = f"/devices/{listed['id']}/products/cached"
    cached = (await office.insist("GET", path)).body["products"]["products"]
    stored = next((item["price"] for item in cached if item["pluNumber"] == PLU), None)
    shown = shown_by(errand.home, scale, PLU)
    state = "dirty" if listed["cached_dirty"] else "clean"
    return Line(
        what=f"{scale.name}: price on the scale, in the copy",
        sent=(errand.price, errand.price, "clean"),
        shown=(shown, stored, state),
    )


async def _board(office: Office) -> Mapping[str, Any]:
    told = (await office.insist("GET", "/devices/board")).body
    return {row["name"]: row for row in told["devices"]}


def _said(row: Mapping[str, Any]) -> str:
    state = str(row.get("state", "nothing"))
    return state if state == "ok" or not row.get("reason") else f"{state}, with a reason"
