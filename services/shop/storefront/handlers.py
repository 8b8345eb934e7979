"""An order of the storefront, placed once however often its button is clicked (spec shop §4.9)."""

from dataclasses import asdict, replace
from typing import Final

import msgspec

from libs.eventsourcing.log import Metadata
from services.shop.context import ApiContext
from services.shop.customers.domain.person import normal_phone
from services.shop.orders.handlers import order as orders
from services.shop.orders.handlers.order import NewOrder

SAME_SECONDS: Final = 60
"""The same order within this time is a double click; after twice this time it is another order."""


async def place_order(
    context: ApiContext, new: NewOrder, metadata: Metadata, idempotency_key: str | None
) -> int:
    """Place an order at the shop's prices, and return its id. Safe to repeat and in parallel.

    An equal order with the same `idempotency_key`, or without any within `SAME_SECONDS`, is the
    same one. Raises as `orders.create`.
    """
    content = _content(new)
    now = int(context.clock().timestamp()) // SAME_SECONDS
    # The previous period too: a double click may be on both sides of its end.
    periods = (f"at {now}", f"at {now - 1}") if idempotency_key is None else (idempotency_key,)
    # The content is personal: by a plain digest of it a phone could be guessed.
    digest = context.settings.seal().digest
    keys = tuple(digest("storefront-order", f"{period} {content}") for period in periods)
    return await orders.create(context, replace(new, keys=keys), metadata)


def _content(new: NewOrder) -> str:
    """What makes two orders equal, as a text. Raises BadPhone."""
    phone = normal_phone(new.contact.customer_phone)
    order = replace(new, contact=replace(new.contact, customer_phone=phone), keys=())
    return msgspec.json.encode(asdict(order) | {"items": sorted(new.items)}).decode()
