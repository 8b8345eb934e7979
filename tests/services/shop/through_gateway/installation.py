"""The shop's service behind the gateway, both on real servers, and members of shops in front."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from httpx import AsyncClient

from deploy.local.ports import free_port
from libs.messaging.inbox_worker import InboxWorker
from libs.messaging.reaction import feed_of
from libs.testing.read_models import Projector
from services.gateway.bootstrap import create_app
from services.shop.live.notifications.reactions import order_notifications
from services.shop.production.reactions import tasks_of_orders
from tests.services.gateway.bot_api import open_bot_api
from tests.services.gateway.harness import gateway_on
from tests.services.gateway.identities import catch_up
from tests.services.gateway.shop_door import Door, Someone, with_bot
from tests.services.gateway.test_bootstrap import served
from tests.services.shop.kit import ShopKit, open_shop

PAYMENT_SECRET: Final = "a secret of payments"


@dataclass
class Installation:
    """A gateway at `url`, and the service of the shop behind it."""

    door: Door
    shop: ShopKit
    url: str

    @asynccontextmanager
    async def client(self, who: Someone | None = None) -> AsyncIterator[AsyncClient]:
        """A client of a member of a shop, or of a customer, who has no token."""
        headers = {} if who is None else who.headers
        async with AsyncClient(base_url=self.url, headers=headers, timeout=60) as client:
            yield client

    async def open_shop(self, name: str = "Розы") -> tuple[int, Someone]:
        """A new shop, and its admin."""
        admin, answer = await self.door.registered(name)
        await self.known()
        return int(answer["shop_id"]), admin

    async def hire(self, admin: Someone, role: str) -> tuple[Someone, int]:
        """A new member of a shop, and their number."""
        hired = await self.door.hired(admin, role)
        await self.known()
        return hired

    async def known(self) -> None:
        """Let the gateway's lists of members be up to date."""
        await catch_up(self.door.deps.identity)

    async def react(self) -> None:
        """Let the worker react to all that happened to orders."""
        context = self.shop.deps
        for reaction in (tasks_of_orders(context), order_notifications(context)):
            feed = feed_of(reaction)
            await Projector(context.store, context.system, "shop", [feed]).catch_up()
            while await InboxWorker(context.system, reaction).react():
                pass
        await self.shop.caught_up()


@asynccontextmanager
async def open_installation(gateway: str, shop: str, **options: Any) -> AsyncIterator[Installation]:
    """Both services on these databases, without limits of rates; `options` of the shop's kit."""
    port = free_port()
    behind = {"shop_url": f"http://127.0.0.1:{port}", "profile": "test"}
    async with (
        open_bot_api() as api,
        gateway_on(gateway, **with_bot(api, **behind)) as deps,
        served(create_app(deps)) as url,
        AsyncClient(base_url=url, timeout=60) as client,
        open_shop(
            shop,
            jwks_url=f"{url}/.well-known/jwks.json",
            payment_secret=PAYMENT_SECRET,
            real_tokens=True,
            **options,
        ) as kit,
        served(kit.app, port),
    ):
        yield Installation(Door(deps, api, client), kit, url)
