"""Placing orders and changing them: the shop prices, the stock is reserved in the same append."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from contracts.envelope import Sealed
from contracts.shop import OrderDetails, OrderLine, OrderNeed
from libs.errors import NotFound, Refused
from libs.eventsourcing.claims import CLAIM, ClaimKey, Taken, claim_id, owner_of
from libs.eventsourcing.log import Metadata
from libs.postgres.sequences import Sequence as Numbers
from libs.security.data_keys import Subject, text_of
from services.shop.context import ApiContext
from services.shop.customers import handlers as customers
from services.shop.customers.domain.person import normal_phone
from services.shop.orders.domain.commands import (
    AddComment,
    AssignFlorist,
    CancelOrder,
    ChangeComment,
    EditOrder,
    MoveForward,
    PlaceOrder,
    ReceivePayment,
    ReportIssue,
    RollBack,
    SetLines,
)
from services.shop.orders.domain.contact import Contact, subject_id
from services.shop.orders.domain.order import Order, OrderUnknown
from services.shop.orders.domain.status import Method, Status
from services.shop.orders.handlers.execution import Carried, carry_out, load
from services.shop.products import handlers as products
from services.shop.products.domain import PricedLine

ORDER_IDS: Final = Numbers("order_number")
ITEM_IDS: Final = Numbers("order_item_number")
COMMENT_IDS: Final = Numbers("order_comment_number")

STAFF_FEE: Final = 1500
"""The fee of a delivery that staff took down without one: what the admin shows (spec shop §5)."""
STOREFRONT_FEE: Final = 2000
FIRST_NUMBER: Final = 100_000_000
NUMBERS: Final = 900_000_000
TOKEN_BYTES: Final = 24


class NotAFlorist(Refused):
    """Пользователь не флорист"""


class FloristUnknown(NotFound):
    """Пользователь не найден"""


class WrongTotal(Refused):
    """Сумма заказа не сходится"""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewOrder:
    """An order to place. Phones in any usual spelling.

    `items` are products and their quantities. Without `delivery_fee` it is the shop's. An order
    without items has a `flower_sum`. Orders with the same `key` are placed once.
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
    key: str | None = None


def subject_of(tenant: str, order_id: int) -> Subject:
    """Whose key seals what an order says of persons."""
    return Subject(tenant, subject_id(order_id))


async def place(context: ApiContext, new: NewOrder, metadata: Metadata) -> int:
    """Place an order, and return its id. With a `key` safe to repeat and in parallel.

    Raises BadPhone, ProductUnknown, ProductInactive, StockShort, Unavailable.
    """
    if (known := await _placed_before(context, new, metadata.tenant)) is not None:
        return known
    lines = await _lines(context, metadata.tenant, new.items)
    contact = _normal(new.contact)
    customer_id = await customers.ensure(
        context, contact.customer_phone, metadata, name=new.customer_name, source=new.source
    )
    order_id = await ORDER_IDS.next(context.system)
    now = context.clock()
    command = PlaceOrder(
        order_id=order_id,
        customer_id=customer_id,
        number=str(FIRST_NUMBER + secrets.randbelow(NUMBERS)),
        tracking_token=secrets.token_urlsafe(TOKEN_BYTES),
        details=OrderDetails(
            contact=await _sealed_contact(context, metadata.tenant, order_id, contact),
            delivery_method=new.method,
            address_needs_clarification=new.address_needs_clarification,
            delivery_from=new.delivery_from,
            delivery_to=new.delivery_to,
            payment_method=new.payment_method,
        ),
        lines=lines,
        delivery_fee=_fee(new),
        source=new.source,
        by=metadata.actor or "",
        now=now,
        flower_sum=new.flower_sum,
    )
    claims: dict[tuple[Any, object], Any] = {
        (CLAIM, claim_id("order-number", command.number)): ClaimKey(str(order_id))
    }
    if new.key is not None:
        claims[CLAIM, claim_id("order-key", new.key)] = ClaimKey(str(order_id))
    try:
        await carry_out(
            context,
            order_id,
            command,
            metadata,
            also=claims,
            is_new=True,
        )
    except Taken:
        # The same order was placed meanwhile, or another one has this number.
        return await place(context, new, metadata)
    if contact.address and new.method == Method.DELIVERY:
        await customers.use_address(context, customer_id, contact.address, now, metadata)
    if new.comment:
        await add_comment(context, order_id, new.comment, metadata)
    return order_id


async def edit(
    context: ApiContext,
    order_id: int,
    contact: Mapping[str, Any],
    details: Mapping[str, Any],
    metadata: Metadata,
) -> Carried:
    """Replace fields of an order's `Contact` and `OrderDetails`. Money is not among them.

    Raises OrderUnknown, BadPhone, Unavailable.
    """
    order = await load(context, metadata.tenant, order_id)
    present = order.placed
    if contact:
        opened = await open_contact(context, metadata.tenant, order_id, present)
        changed = _normal(replace(opened, **contact))
        if changed != opened:
            sealed = await _sealed_contact(context, metadata.tenant, order_id, changed)
            details = {**details, "contact": sealed}
    command = EditOrder(
        details=replace(present, **details), by=metadata.actor or "", now=context.clock()
    )
    return await carry_out(context, order_id, command, metadata)


async def move(
    context: ApiContext, order_id: int, status: Status, comment: str | None, metadata: Metadata
) -> Carried:
    """Go to the next state. Raises OrderUnknown, MoveNotAllowed, Unavailable."""
    sealed = await seal(context, metadata.tenant, order_id, comment)
    by, now = metadata.actor or "", context.clock()
    command = MoveForward(status=status, comment=sealed, by=by, now=now)
    return await carry_out(context, order_id, command, metadata)


async def report_issue(
    context: ApiContext, order_id: int, issue_type: str, comment: str | None, metadata: Metadata
) -> Carried:
    """Report that something went wrong. Raises OrderUnknown, MoveNotAllowed, Unavailable."""
    sealed = await seal(context, metadata.tenant, order_id, comment)
    by, now = metadata.actor or "", context.clock()
    command = ReportIssue(issue_type=issue_type, comment=sealed, by=by, now=now)
    return await carry_out(context, order_id, command, metadata)


async def cancel(
    context: ApiContext, order_id: int, reason: str | None, metadata: Metadata
) -> Carried:
    """Cancel an order. Raises OrderUnknown, CannotCancel, Unavailable."""
    sealed = await seal(context, metadata.tenant, order_id, reason)
    command = CancelOrder(reason=sealed, by=metadata.actor or "", now=context.clock())
    return await carry_out(context, order_id, command, metadata)


async def roll_back(
    context: ApiContext, order_id: int, status: Status, reason: str | None, metadata: Metadata
) -> Carried:
    """Go back to an earlier state. Raises OrderUnknown, RollbackNotAllowed, StockShort."""
    sealed = await seal(context, metadata.tenant, order_id, reason)
    by, now = metadata.actor or "", context.clock()
    command = RollBack(status=status, reason=sealed, by=by, now=now)
    return await carry_out(context, order_id, command, metadata)


async def receive_payment(
    context: ApiContext,
    order_id: int,
    payment_id: str,
    method: str,
    amount: int,
    metadata: Metadata,
) -> Carried:
    """A provider reports a payment. Safe to repeat.

    Raises OrderUnknown, WrongAmount, NotPayable, AlreadyPaid, Unavailable.
    """
    command = ReceivePayment(
        payment_id=payment_id, method=method, amount=amount, now=context.clock()
    )
    return await carry_out(context, order_id, command, metadata)


async def assign_florist(
    context: ApiContext, order_id: int, florist: int, metadata: Metadata
) -> Carried:
    """Assign a florist. Raises OrderUnknown, FloristUnknown, NotAFlorist, Unavailable."""
    await load(context, metadata.tenant, order_id)
    directory = await context.directories.find(metadata.tenant)
    member = directory.by_number(florist) if directory else None
    if member is None or not member.active:
        raise FloristUnknown
    if member.role != "florist":
        raise NotAFlorist
    command = AssignFlorist(florist=florist, by=metadata.actor or "", now=context.clock())
    return await carry_out(context, order_id, command, metadata)


async def add_item(
    context: ApiContext, order_id: int, product_id: int, quantity: int, metadata: Metadata
) -> OrderLine:
    """Add a product to an order at its present price. Raises LinesAreFixed and as `place`."""
    order = await load(context, metadata.tenant, order_id)
    (line,) = await _lines(context, metadata.tenant, [(product_id, quantity)])
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


async def add_comment(
    context: ApiContext,
    order_id: int,
    text: str,
    metadata: Metadata,
    *,
    customer_name: str | None = None,
) -> int:
    """Add a comment, and return its id; with `customer_name` the customer's.

    Raises OrderUnknown, Unavailable.
    """
    await load(context, metadata.tenant, order_id)
    comment_id = await COMMENT_IDS.next(context.system)
    sealed = await seal(context, metadata.tenant, order_id, text)
    command = AddComment(
        comment_id=comment_id,
        text=sealed or Sealed(""),
        author=None if customer_name is not None else metadata.actor,
        customer_name=await seal(context, metadata.tenant, order_id, customer_name),
        now=context.clock(),
    )
    await carry_out(context, order_id, command, metadata)
    return comment_id


async def change_comment(
    context: ApiContext, order_id: int, comment_id: int, text: str | None, metadata: Metadata
) -> None:
    """Replace the text of a comment, or remove it without a text. Raises CommentUnknown."""
    sealed = await seal(context, metadata.tenant, order_id, text)
    by, now = metadata.actor or "", context.clock()
    command = ChangeComment(comment_id=comment_id, text=sealed, by=by, now=now)
    await carry_out(context, order_id, command, metadata)


async def seal(context: ApiContext, tenant: str, order_id: int, text: str | None) -> Sealed | None:
    """A text about the persons of an order, sealed; None for none. Raises Forgotten."""
    if not text:
        return None
    return await context.vault.seal(subject_of(tenant, order_id), text)


async def open_contact(
    context: ApiContext, tenant: str, order_id: int, details: OrderDetails
) -> Contact:
    """What an order says of persons. Raises OrderUnknown if they were forgotten."""
    opened = await context.vault.open(subject_of(tenant, order_id), details.contact)
    if (text := text_of(opened)) is None:
        raise OrderUnknown
    return msgspec.json.decode(text, type=Contact)


async def _placed_before(context: ApiContext, new: NewOrder, tenant: str) -> int | None:
    if new.key is None:
        return None
    owner = await owner_of(context.store, tenant, claim_id("order-key", new.key))
    return None if owner is None else int(owner)


async def _set_lines(
    context: ApiContext, order_id: int, lines: tuple[OrderLine, ...], metadata: Metadata
) -> None:
    command = SetLines(lines=lines, by=metadata.actor or "", now=context.clock())
    await carry_out(context, order_id, command, metadata)


async def _lines(
    context: ApiContext, tenant: str, items: Sequence[tuple[int, int]]
) -> tuple[OrderLine, ...]:
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


def _line(order: Order, item_id: int) -> OrderLine:
    known = next((line for line in order.lines if line.item_id == item_id), None)
    if known is None:
        raise OrderItemUnknown
    return known


class OrderItemUnknown(OrderUnknown):
    """Позиция заказа не найдена"""


def _normal(contact: Contact) -> Contact:
    recipient = contact.recipient_phone
    return replace(
        contact,
        customer_phone=normal_phone(contact.customer_phone),
        recipient_phone=normal_phone(recipient) if recipient else None,
    )


def _fee(new: NewOrder) -> int:
    if new.method != Method.DELIVERY:
        return 0
    if new.delivery_fee is not None:
        return new.delivery_fee
    return STOREFRONT_FEE if new.source == "storefront" else STAFF_FEE


async def _sealed_contact(
    context: ApiContext, tenant: str, order_id: int, contact: Contact
) -> Sealed:
    text = msgspec.json.encode(contact).decode()
    return await context.vault.seal(subject_of(tenant, order_id), text)
