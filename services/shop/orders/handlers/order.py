"""Placing orders and changing them: the shop prices, the stock is reserved in the same append."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from contracts.shop import OrderDetails, OrderLine, OrderNeed
from libs.errors import BadRequest, NotFound, Unavailable
from libs.eventsourcing.claims import CLAIM, ClaimKey, Taken, claim_id, owner_of
from libs.eventsourcing.log import Metadata, VersionConflict
from libs.postgres.sequences import Sequence as Numbers
from libs.process.fair_queue import Source
from services.shop.context import ApiContext, authorship
from services.shop.customers import handlers as customers
from services.shop.customers.domain.person import CustomerUnknown
from services.shop.orders.domain.commands import AddLine, EditOrder, PlaceOrder
from services.shop.orders.domain.contact import CONTACT, Contact, normal
from services.shop.orders.domain.status import Method
from services.shop.orders.handlers.execution import Commands, carry_out, load
from services.shop.orders.handlers.notes import new_comment
from services.shop.orders.handlers.sealing import open_contact, seal_all
from services.shop.products import handlers as products

ORDER_IDS: Final = Numbers("order_number")
ITEM_IDS: Final = Numbers("order_item_number")

STAFF_FEE: Final = 1500
"""The fee of a delivery that staff took down without one: what the admin shows (spec shop §5)."""
STOREFRONT: Final = "storefront"
"""The source of what customers order themselves."""
STOREFRONT_FEE: Final = 2000
FIRST_NUMBER: Final = 100_000_000
NUMBERS: Final = 900_000_000
TOKEN_BYTES: Final = 24


class NotAFlorist(BadRequest):
    """Пользователь не флорист"""


class FloristUnknown(NotFound):
    """Пользователь не найден"""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewOrder:
    """An order to place. Phones in any usual spelling.

    `items` are products and their quantities. Without `delivery_fee` it is the shop's. An order
    without items has a `flower_sum`. Of orders that have one of their `keys` in common, one is
    placed. The `comment` of an order from the storefront is the customer's.
    """

    contact: Contact
    method: Method
    items: Sequence[tuple[int, int]]
    source: str
    delivery_fee: int | None = None
    flower_sum: int | None = None
    customer_name: str | None = None
    address_needs_clarification: bool = False
    delivery_from: datetime | None = None
    delivery_to: datetime | None = None
    payment_method: str | None = None
    comment: str | None = None
    keys: tuple[str, ...] = ()


async def create(context: ApiContext, new: NewOrder, metadata: Metadata) -> int:
    """Place an order, and return its id. With `keys` safe to repeat and in parallel.

    Raises BadPhone, ProductUnknown, ProductInactive, StockShort, TooManyRequests, Unavailable.
    """
    await context.order_queue.acquire(Source(metadata.tenant))
    try:
        return await _create(context, new, metadata)
    finally:
        context.order_queue.release()


async def _create(context: ApiContext, new: NewOrder, metadata: Metadata) -> int:
    claims = [claim_id("order-key", key) for key in new.keys]
    for claim in claims:
        if (owner := await owner_of(context.store, metadata.tenant, claim)) is not None:
            return int(owner)
    lines = await _priced(context, metadata.tenant, new.items)
    contact = Contact(**normal(asdict(new.contact)))
    # The admin sends no name of the buyer, but the buyer is who receives at the same phone.
    is_buyer = contact.recipient_phone == contact.customer_phone
    name = new.customer_name or (contact.recipient_name if is_buyer else None)
    customer_id = await customers.ensure(
        context, contact.customer_phone, metadata, name=name or None, source=new.source
    )
    command = await _command(context, new, contact, customer_id, lines, metadata)
    order_id = command.order_id
    claims.append(claim_id("order-number", command.number))
    also: Commands = {(CLAIM, claim): ClaimKey(str(order_id)) for claim in claims}
    try:
        await carry_out(context, order_id, command, metadata, also=also)
    except (Taken, VersionConflict):
        # The same order was placed meanwhile, or another one has this number.
        return await _create(context, new, metadata)
    if contact.address and new.method == Method.DELIVERY:
        # The order is placed, also if its customer was merged or forgotten meanwhile.
        with suppress(CustomerUnknown, Unavailable):
            await customers.use_address(
                context, customer_id, contact.address, command.now, metadata
            )
    return order_id


async def _command(
    context: ApiContext,
    new: NewOrder,
    contact: Contact,
    customer_id: int,
    lines: tuple[OrderLine, ...],
    metadata: Metadata,
) -> PlaceOrder:
    order_id, texts = await ORDER_IDS.next(context.system), asdict(contact)
    sealed = await seal_all(context, metadata.tenant, order_id, texts, is_new=True)
    same = ("address_needs_clarification", "delivery_from", "delivery_to", "payment_method")
    values = {name: getattr(new, name) for name in same}
    comment = None
    if new.comment:
        name = (new.customer_name or "") if new.source == STOREFRONT else None
        comment = await new_comment(context, order_id, new.comment, metadata, customer_name=name)
    return PlaceOrder(
        order_id=order_id,
        customer_id=customer_id,
        number=new_number(),
        tracking_token=new_token(),
        details=OrderDetails(delivery_method=new.method, **sealed, **values),
        lines=lines,
        delivery_fee=_fee(new),
        source=new.source,
        flower_sum=new.flower_sum,
        comment=comment,
        **authorship(context, metadata),
    )


def new_number() -> str:
    """A random order number of nine digits; another order may have it."""
    return str(FIRST_NUMBER + secrets.randbelow(NUMBERS))


def new_token() -> str:
    """A random tracking token."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def _fee(new: NewOrder) -> int:
    if new.method != Method.DELIVERY:
        return 0
    if new.delivery_fee is not None:
        return new.delivery_fee
    return STOREFRONT_FEE if new.source == STOREFRONT else STAFF_FEE


async def _priced(
    context: ApiContext, tenant: str, items: Sequence[tuple[int, int]]
) -> tuple[OrderLine, ...]:
    """Lines of products and quantities at present prices. Raises as `products.lines`."""
    return tuple(
        [
            OrderLine(
                item_id=await ITEM_IDS.next(context.system),
                product_id=line.product_id,
                product_name=line.name,
                product_category=line.category,
                quantity=line.quantity,
                price=line.unit_price,
                needs=tuple(
                    OrderNeed(warehouse_item_id=item, quantity=n) for item, n in line.needs
                ),
            )
            for line in await products.lines(context, tenant, items)
        ]
    )


async def edit(
    context: ApiContext, order_id: int, given: Mapping[str, Any], metadata: Metadata
) -> None:
    """Replace fields of an order's `Contact` and `OrderDetails`. Money is not among them.

    Raises OrderUnknown, BadPhone, Unavailable.
    """
    tenant = metadata.tenant
    texts = normal({name: given[name] for name in CONTACT if name in given})
    if texts:
        present = asdict(await open_contact(context, tenant, await load(context, tenant, order_id)))
        # Texts differ each time they are sealed, so what is the same is no change.
        texts = {name: text for name, text in texts.items() if text != present[name]}
    changes = {name: value for name, value in given.items() if name not in CONTACT}
    changes |= await seal_all(context, tenant, order_id, texts)
    command = EditOrder(changes=changes, **authorship(context, metadata))
    await carry_out(context, order_id, command, metadata)


async def add_item(
    context: ApiContext, order_id: int, product_id: int, quantity: int, metadata: Metadata
) -> int:
    """Add a product to an order at its present price; the id of its line.

    Raises LinesAreFixed and as `create`.
    """
    await load(context, metadata.tenant, order_id)
    (line,) = await _priced(context, metadata.tenant, [(product_id, quantity)])
    command = AddLine(line=line, **authorship(context, metadata))
    await carry_out(context, order_id, command, metadata)
    return line.item_id


async def check_florist(context: ApiContext, tenant: str, number: int) -> None:
    """Refuse a member who is not an active florist.

    Raises FloristUnknown, NotAFlorist, Unavailable.
    """
    directory = await context.directories.find(tenant, member=number)
    member = directory.by_number(number) if directory else None
    if member is None or not member.active:
        raise FloristUnknown
    if member.role != "florist":
        raise NotAFlorist
