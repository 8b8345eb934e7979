"""The shop's day from the first login to the comparison."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from deploy.demo.client import Client
from deploy.demo.compare import Line
from deploy.demo.dashboard import NoAnswer
from deploy.demo.day import ConcurrentWork, Manner, together
from deploy.demo.fleet import Scale
from deploy.demo.play import SimulatedClock
from deploy.demo.shop import compare
from deploy.demo.shop.customers import PaymentProvider, Storefront
from deploy.demo.shop.ledger import ShopLedger
from deploy.demo.shop.page import LivePage
from deploy.demo.shop.plan import PlannedOrder, ShopPlan
from deploy.demo.shop.price import price_line, set_price
from deploy.demo.shop.staff import (
    COURIER,
    FLORISTS,
    MANAGER,
    Member,
    create_products,
    hire,
    receive_goods,
)
from deploy.demo.shop.work import Workshop, cancel_leftovers, hand_over, move
from deploy.local import keys

POLL_SECONDS: Final = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopTask:
    """What the shop needs for its day: the folder of the installation, and the scales that follow
    its prices."""

    home: Path
    url: str
    plan: ShopPlan
    scales: list[Scale]
    manner: Manner


def secret_file(home: Path) -> Path:
    """The file with the secret that signs payments, created once."""
    return keys.token(home, "shop_payment_secret")


def shop_beside(office: ConcurrentWork, task: ShopTask) -> ConcurrentWork:
    """The shop's day and the office's at the same time.

    The shop is registered before anything else, so that in a new installation it is the first,
    whose prices the scales follow (`deploy.local.services`).
    """

    async def work(session: aiohttp.ClientSession) -> list[Line]:
        manager = Member(session, task.url, MANAGER, patience=task.manner.patience)
        await manager.log_in()
        both = together(office, lambda _: run_shop_day(manager, task))
        return await both(session)

    return work


async def run_shop_day(manager: Member, task: ShopTask) -> list[Line]:
    """Open the shop, serve all customers, and compare. Raises NoAnswer."""
    plan, manner = task.plan, task.manner
    ledger = ShopLedger(plan=plan)
    public = Client(manager.session, task.url, patience=manner.patience)
    # All before the first order: the shop's service remembers for seconds who works there.
    florists = await hire(manager, FLORISTS, "florist")
    (courier,) = await hire(manager, COURIER, "courier")
    await cancel_leftovers(manager)
    items = await receive_goods(manager, plan)
    products = await create_products(manager, plan, items)
    storefront = Storefront(public, ledger, manager.shop_id, products)
    provider = PaymentProvider(public, ledger, secret_file(task.home).read_text())
    workshop = Workshop(ledger, patience=manner.patience)
    clock = SimulatedClock(speed=manner.speed, started_at=time.monotonic())

    async def serve(order: PlannedOrder) -> None:
        await clock.until(order.at)
        if (placed := await storefront.order(order)) is None:
            return
        await storefront.follow_up(placed)
        if order.fate != "unpaid":
            await provider.report(placed)
            florist = await workshop.wait_made(placed)
            await move(florist, ledger, placed, "assembled")
            await hand_over(manager, courier, ledger, placed)

    async def change_price() -> None:
        await clock.until(max(order.at for order in plan.orders))
        await set_price(manager, plan.tag)

    async with _open_pages(manager) as pages:
        async with (
            _in_background(*(workshop.work(one) for one in florists)) as working,
            _in_background(change_price(), *(serve(one) for one in plan.orders)) as served,
        ):
            await asyncio.wait({served, working}, return_when=asyncio.FIRST_COMPLETED)
            (working if working.done() else served).result()
        deadline = time.monotonic() + manner.lag
        while True:
            messages = {kind: page.seen for kind, page in pages.items()}
            lines = compare.lines(ledger, await compare.read(manager, ledger, messages))
            lines.append(price_line(task.home, task.scales, plan.tag))
            if all(line.agrees for line in lines) or time.monotonic() > deadline:
                return lines
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def _open_pages(manager: Member) -> AsyncIterator[dict[str, LivePage]]:
    """Pages of the manager that are connected. Raises NoAnswer."""
    pages = {kind: LivePage(manager, kind) for kind in ("orders", "production")}
    async with _in_background(*(page.stay_open() for page in pages.values())):
        try:
            async with asyncio.timeout(manager.patience):
                await asyncio.gather(*(page.connected.wait() for page in pages.values()))
        except TimeoutError:
            raise NoAnswer("the shop's WebSockets were not accepted") from None
        yield pages


@asynccontextmanager
async def _in_background(*works: Awaitable[None]) -> AsyncIterator[asyncio.Future[list[None]]]:
    """Run something concurrently with the block, until the block ends."""
    running = asyncio.gather(*works)
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
