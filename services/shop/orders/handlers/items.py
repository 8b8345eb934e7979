"""The lines of an order: added, changed, removed, with what is reserved for them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from contracts.shop import OrderLine, OrderNeed
from libs.errors import NotFound
from libs.eventsourcing.log import Metadata
from libs.postgres.sequences import Sequence as Numbers
from services.shop.context import ApiContext
from services.shop.orders.domain.commands import SetLines
from services.shop.orders.domain.order import Order
from services.shop.orders.handlers.execution import carry_out, load
from services.shop.products import handlers as products
from services.shop.products.domain import PricedLine

ITEM_IDS: Final = Numbers("order_item_number")


class OrderItemUnknown(NotFound):
    """Позиция заказа не найдена"""


async def priced_lines(
    context: ApiContext, tenant: str, items: Sequence[tuple[int, int]]
) -> tuple[OrderLine, ...]:
    """Lines of products and quantities at present prices. Raises as `products.lines`."""
    priced = await products.lines(context, tenant, items)
    return tuple([_order_line(await ITEM_IDS.next(context.system), line) for line in priced])


def _order_line(item_id: int, line: PricedLine) -> OrderLine:
    return OrderLine(
        item_id=item_id,
        product_id=line.product_id,
        product_name=line.name,
        product_category=line.category,
        quantity=line.quantity,
        price=line.unit_price,
        needs=tuple(
            OrderNeed(warehouse_item_id=item, quantity=quantity) for item, quantity in line.needs
        ),
    )


async def add_item(
    context: ApiContext, order_id: int, product_id: int, quantity: int, metadata: Metadata
) -> OrderLine:
    """Add a product to an order at its present price. Raises LinesAreFixed and as `place`."""
    order = await load(context, metadata.tenant, order_id)
    (line,) = await priced_lines(context, metadata.tenant, [(product_id, quantity)])
    await _set_lines(context, order_id, (*order.lines, line), metadata)
    return line


async def change_item(
    context: ApiContext, order_id: int, item_id: int, quantity: int, metadata: Metadata
) -> OrderLine:
    """Change the quantity of a line, and what is reserved. Raises OrderItemUnknown, StockShort."""
    order = await load(context, metadata.tenant, order_id)
    known = _line(order, item_id)
    changed = replace(
        known,
        quantity=quantity,
        needs=tuple(
            replace(need, quantity=need.quantity // known.quantity * quantity)
            for need in known.needs
        ),
    )
    lines = tuple(changed if line.item_id == item_id else line for line in order.lines)
    await _set_lines(context, order_id, lines, metadata)
    return changed


async def remove_item(context: ApiContext, order_id: int, item_id: int, metadata: Metadata) -> None:
    """Remove a line, and release what is reserved. Raises OrderItemUnknown, LinesAreFixed."""
    order = await load(context, metadata.tenant, order_id)
    known = _line(order, item_id)
    lines = tuple(line for line in order.lines if line is not known)
    await _set_lines(context, order_id, lines, metadata)


async def _set_lines(
    context: ApiContext, order_id: int, lines: tuple[OrderLine, ...], metadata: Metadata
) -> None:
    command = SetLines(lines=lines, by=metadata.actor or "", now=context.clock())
    await carry_out(context, order_id, command, metadata)


def _line(order: Order, item_id: int) -> OrderLine:
    known = next((line for line in order.lines if line.item_id == item_id), None)
    if known is None:
        raise OrderItemUnknown
    return known
