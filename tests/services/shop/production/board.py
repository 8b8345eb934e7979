"""The board of production in tests: orders, their tasks, and the reaction between them."""

from dataclasses import dataclass
from typing import Any

from httpx import Response

from libs.messaging.inbox_worker import InboxWorker
from libs.messaging.reaction import feed_of
from libs.testing.read_models import Projector
from services.shop.production.reactions import tasks_of_orders
from tests.services.shop.kit import ShopKit
from tests.services.shop.orders.florist import Florist


@dataclass
class Board(Florist):
    """A member of the staff with all permissions, at the board."""

    shop: ShopKit

    async def react(self) -> None:
        """Let the worker react to all that happened to orders."""
        context = self.shop.deps
        await self.shop.caught_up()
        reaction = tasks_of_orders(context)
        await Projector(context.store, context.system, "shop", [feed_of(reaction)]).catch_up()
        worker = InboxWorker(context.system, reaction)
        while await worker.react():
            pass
        await self.shop.caught_up()

    async def paid_order(self, *names: str, **fields: Any) -> int:
        """Place and pay an order of new products with these names; its id."""
        products = [(await self.product(name=name), 1) for name in names or ("Букет роз",)]
        order_id = int((await self.placed(*products, **fields))["id"])
        assert (await self.move(order_id, "paid")).status_code == 200
        return order_id

    async def tasks(self, **query: Any) -> list[Any]:
        """The tasks of the list."""
        answer = await self.client.get("/api/production/tasks/", params=query)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["total"] == len(body["items"])
        items: list[Any] = body["items"]
        return items

    async def task(self, *names: str, **fields: Any) -> int:
        """A pending task of a paid order; its id."""
        order_id = await self.paid_order(*names, **fields)
        await self.react()
        return int((await self.tasks(order_id=order_id))[0]["id"])

    async def do(self, task_id: int, step: str, **body: Any) -> Response:
        """A step of a task."""
        return await self.client.post(f"/api/production/tasks/{task_id}/{step}", json=body)

    async def queue(self, path: str) -> Response:
        """A request to the queue."""
        return await self.client.post(f"/api/production/queue/{path}")
