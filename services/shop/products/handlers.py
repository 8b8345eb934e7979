"""Commands of the catalogue, and the prices of what is ordered from it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from contracts.shop import Component, ProductDetails
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from libs.postgres.sequences import Sequence as Numbers
from services.shop.context import Context
from services.shop.products.domain import (
    PRODUCT,
    AddProduct,
    Change,
    PricedLine,
    Product,
    ProductUnknown,
    RemoveProduct,
    priced_line,
)

NUMBERS: Final = Numbers("product_number")


async def load(context: Context, tenant: str, product_id: int) -> Product:
    """A product as the log has it. Raises ProductUnknown, LogUnavailable."""
    history = await context.store.read(tenant, PRODUCT.stream(product_id))
    product = PRODUCT.state_after(history.events)
    if product.details is None:
        raise ProductUnknown
    return product


async def lines(
    context: Context, tenant: str, wanted: Sequence[tuple[int, int]]
) -> list[PricedLine]:
    """The lines of an order, given the product and the quantity of each, at the prices of now.

    Raises ProductUnknown, ProductInactive, LogUnavailable.
    """
    numbers = sorted({number for number, _ in wanted})
    products = await asyncio.gather(*(load(context, tenant, number) for number in numbers))
    by_number = dict(zip(numbers, products, strict=True))
    return [priced_line(by_number[number], quantity) for number, quantity in wanted]


async def add(
    context: Context,
    details: ProductDetails,
    metadata: Metadata,
    *,
    components: Sequence[Mapping[str, Any]] = (),
    command_id: UUID | None = None,
) -> Product:
    """Add a product under the next number.

    With a `command_id` a repetition adds no second one. Raises EventIdReused for a repetition,
    LogUnavailable.
    """
    number = await NUMBERS.next(context.system)
    command = AddProduct(
        by=metadata.actor or "",
        now=context.clock(),
        product_id=number,
        details=details,
        components=tuple(
            Component(component_id=at, **content) for at, content in enumerate(components, 1)
        ),
    )
    return await _executed(context, number, command, metadata, command_id)


async def change(context: Context, product_id: int, command: Change, metadata: Metadata) -> Product:
    """Carry out a command on a product, and return the product after it.

    Raises what `domain.decide` raises, and LogUnavailable.
    """
    return await _executed(context, product_id, command, metadata)


async def remove(context: Context, product_id: int, metadata: Metadata) -> Product:
    """Remove a product from the catalogue, and return its last state, off sale.

    Raises ProductUnknown, LogUnavailable.
    """
    product = await load(context, metadata.tenant, product_id)
    command = RemoveProduct(by=metadata.actor or "", now=context.clock())
    await execute(context.store, PRODUCT, product_id, command, metadata=metadata)
    details = replace(product.details, is_active=False) if product.details else None
    return replace(product, details=details, updated_at=command.now)


async def _executed(
    context: Context,
    number: int,
    command: AddProduct | Change,
    metadata: Metadata,
    command_id: UUID | None = None,
) -> Product:
    await execute(context.store, PRODUCT, number, command, metadata=metadata, command_id=command_id)
    return await load(context, metadata.tenant, number)
