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
from deploy.demo.day import ConcurrentWork, Manner
from deploy.demo.fleet import Kind, Scale, shown_by
from deploy.demo.office import Account, OfficeClient
from deploy.local import keys
from deploy.local.ports import LOOPBACK

PLU: Final = 7
EMAIL: Final = "office@shop.example"
POLL_SECONDS: Final = 0.5
POLLS: Final = 8
PERSISTENCE: Final = 3
"""How many times the lag of dashboards may pass until the board reports a faulty scale."""
EXPECTED: Final[Mapping[Kind, str]] = {
    "well": "ok",
    "slow": "ok",
    "dead": "unreachable, with a reason",
    "liar": "lying, with a reason",
}
"""The status that the board must report for each kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OfficeTask:
    """A task of the office: set a price on these scales."""

    home: Path
    scales: list[Scale]
    price: float
    manner: Manner


def office_work(
    tag: str, *, home: Path, url: str, scales: list[Scale], manner: Manner
) -> ConcurrentWork:
    """The office's work in the day with that tag; another day has another price."""
    account = Account(email=EMAIL, password=password_file(home).read_text())
    task = OfficeTask(home=home, scales=scales, price=price_of(tag), manner=manner)

    async def work(session: aiohttp.ClientSession) -> list[Line]:
        return await run_office_day(
            OfficeClient(session, url, account, patience=manner.patience), task
        )

    return work


def password_file(home: Path) -> Path:
    """The file with the password of the office's account, created once."""
    return keys.token(home, "scales_password")


def price_of(tag: str) -> float:
    """The price of a day, in whole minor units; days differ."""
    return (10_000 + int(tag, 16) % 90_000) / 100


def scales_hint(url: str, home: Path) -> list[str]:
    """How to see the board of scales, which needs a login."""
    login = f"username={EMAIL} --data-urlencode password@{password_file(home)}"
    read = """python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])'"""
    return [
        f"Scales    {EMAIL}, password in {password_file(home)}",
        "",
        f"  TOKEN=$(curl -s -d {login} {url}/auth/login | {read})",
        f'  curl -s -H "Authorization: Bearer $TOKEN" {url}/devices/board',
        "",
    ]


async def run_office_day(office: OfficeClient, task: OfficeTask) -> list[Line]:
    """Register, read, change and upload all scales concurrently; then compare. Raises NoAnswer."""
    await office.log_in()
    numbers = await office.enrol(task.scales)
    each = (_serve(office, task, scale, numbers[scale.name]) for scale in task.scales)
    await asyncio.gather(*each)
    deadline = time.monotonic() + task.manner.lag
    while True:
        lines = await _lines(office, task, numbers)
        if all(line.agrees for line in lines) or time.monotonic() > deadline:
            return lines
        await asyncio.sleep(POLL_SECONDS)


async def _serve(office: OfficeClient, task: OfficeTask, scale: Scale, number: int) -> None:
    """Read the scale, change the price, upload it; as far as possible for faulty scales."""
    at = f"/devices/{number}"
    if scale.kind == "dead":
        await _repeat_until_reported(office, task, scale, "GET", f"{at}/products")
        return
    await office.request("GET", f"{at}/products")
    changed = {"fields": {"price": task.price}}
    await office.request("PATCH", f"{at}/products/{PLU}", json=changed)
    if scale.kind == "liar":
        await _repeat_until_reported(office, task, scale, "POST", f"{at}/upload")
    else:
        await office.request("POST", f"{at}/upload")


async def _repeat_until_reported(
    office: OfficeClient, task: OfficeTask, scale: Scale, method: str, path: str
) -> None:
    """Repeat a request that must fail until the board reports it, as services may be down."""
    deadline = time.monotonic() + task.manner.lag * PERSISTENCE
    while time.monotonic() < deadline:
        await office.send_once(method, path)
        for _ in range(POLLS):
            row = (await _board(office)).get(scale.name, {})
            if _status_of(row) == EXPECTED[scale.kind]:
                return
            await asyncio.sleep(POLL_SECONDS)


async def _lines(office: OfficeClient, task: OfficeTask, numbers: Mapping[str, int]) -> list[Line]:
    board = await _board(office)
    listed = {one["id"]: one for one in (await office.request("GET", "/devices")).body}
    found = []
    for scale in task.scales:
        number = numbers[scale.name]
        if scale.kind in ("well", "slow"):
            found.append(await _price_line(office, task, scale, listed[number]))
        row = board.get(scale.name, {})
        reason = f": {row['reason']}" if scale.kind in ("dead", "liar") and row else ""
        what = f"{scale.name}: the board says{reason}"
        found.append(Line(what=what, sent=EXPECTED[scale.kind], displayed=_status_of(row)))
    where = tuple(f"{LOOPBACK}:{scale.port}" for scale in task.scales)
    known = tuple(f"{one['ip']}:{one['port']}" for one in listed.values())
    what = "scales: registered"
    count = len(set(where) & set(known))
    return [Line(what=what, sent=len(where), displayed=count), *found]


async def _price_line(
    office: OfficeClient, task: OfficeTask, scale: Scale, listed: Mapping[str, Any]
) -> Line:
    """On the scale itself, in the copy, and whether the list calls the copy clean."""
    path = f"/devices/{listed['id']}/products/cached"
    cached = (await office.request("GET", path)).body["products"]["products"]
    stored = next((item["price"] for item in cached if item["pluNumber"] == PLU), None)
    displayed = shown_by(task.home, scale, PLU)
    state = "dirty" if listed["cached_dirty"] else "clean"
    return Line(
        what=f"{scale.name}: price on the scale, in the copy",
        sent=(task.price, task.price, "clean"),
        displayed=(displayed, stored, state),
    )


async def _board(office: OfficeClient) -> Mapping[str, Any]:
    board = (await office.request("GET", "/devices/board")).body
    return {row["name"]: row for row in board["devices"]}


def _status_of(row: Mapping[str, Any]) -> str:
    state = str(row.get("state", "nothing"))
    return state if state == "ok" or not row.get("reason") else f"{state}, with a reason"
