"""Placing orders and changing them: the shop prices, the stock is reserved in the same append."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from contracts.envelope import Sealed
from contracts.shop import OrderDetails
from libs.errors import BadRequest, NotFound, Refused
from libs.eventsourcing.claims import CLAIM, ClaimKey, Taken, claim_id, owner_of
from libs.eventsourcing.log import Metadata, VersionConflict
from libs.postgres.sequences import Sequence as Numbers
from libs.process.fair_queue import Source
from services.shop.context import ApiContext
from services.shop.customers import handlers as customers
from services.shop.customers.domain.person import normal_phone
from services.shop.orders.domain.commands import (
    AssignFlorist,
    CancelOrder,
    EditOrder,
    MoveForward,
    PlaceOrder,
    ReceivePayment,
    ReportIssue,
    RollBack,
)
from services.shop.orders.domain.contact import Contact
from services.shop.orders.domain.status import Method, Status
from services.shop.orders.handlers.comments import add_comment
from services.shop.orders.handlers.execution import Carried, Commands, carry_out, load
from services.shop.orders.handlers.items import priced_lines
from services.shop.orders.handlers.sealing import open_contact, seal, seal_contact

ORDER_IDS: Final = Numbers("order_number")
ITEM_IDS: Final = Numbers("order_item_number")
COMMENT_IDS: Final = Numbers("order_comment_number")

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


class WrongTotal(Refused):
    """Сумма заказа не сходится"""


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
    if (known := await _placed_before(context, new, metadata.tenant)) is not None:
        return known
    lines = await priced_lines(context, metadata.tenant, new.items)
    contact = _normal(new.contact)
    # The admin sends no name of the buyer, but the buyer is who receives at the same phone.
    is_buyer = contact.recipient_phone == contact.customer_phone
    name = new.customer_name or (contact.recipient_name if is_buyer else None)
    customer_id = await customers.ensure(
        context, contact.customer_phone, metadata, name=name or None, source=new.source
    )
    order_id = await ORDER_IDS.next(context.system)
    sealed = await seal_contact(context, metadata.tenant, order_id, contact, is_new=True)
    command = PlaceOrder(
        order_id=order_id,
        customer_id=customer_id,
        number=str(FIRST_NUMBER + secrets.randbelow(NUMBERS)),
        tracking_token=secrets.token_urlsafe(TOKEN_BYTES),
        details=_details(new, sealed),
        lines=lines,
        delivery_fee=_fee(new),
        source=new.source,
        by=metadata.actor or "",
        now=context.clock(),
        flower_sum=new.flower_sum,
    )
    try:
        await carry_out(
            context, order_id, command, metadata, also=_claims(new, command), is_new=True
        )
    except (Taken, VersionConflict):
        # The same order was placed meanwhile, or another one has this number.
        return await _create(context, new, metadata)
    await _follow_up(context, new, contact, command, metadata)
    return order_id


def _details(new: NewOrder, contact: Sealed) -> OrderDetails:
    return OrderDetails(
        contact=contact,
        delivery_method=new.method,
        address_needs_clarification=new.address_needs_clarification,
        delivery_from=new.delivery_from,
        delivery_to=new.delivery_to,
        payment_method=new.payment_method,
    )


def _claims(new: NewOrder, command: PlaceOrder) -> Commands:
    claims = [claim_id("order-number", command.number), *_key_claims(new)]
    return {(CLAIM, claim): ClaimKey(str(command.order_id)) for claim in claims}


def _key_claims(new: NewOrder) -> list[str]:
    return [claim_id("order-key", key) for key in new.keys]


async def _follow_up(
    context: ApiContext,
    new: NewOrder,
    contact: Contact,
    command: PlaceOrder,
    metadata: Metadata,
) -> None:
    """What is good to have of a new order, and no part of it."""
    if contact.address and new.method == Method.DELIVERY:
        customer_id, now = command.customer_id, command.now
        await customers.use_address(context, customer_id, contact.address, now, metadata)
    if new.comment:
        name = (new.customer_name or "") if new.source == STOREFRONT else None
        await add_comment(context, command.order_id, new.comment, metadata, customer_name=name)


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
            sealed = await seal_contact(context, metadata.tenant, order_id, changed)
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
    await check_florist(context, metadata.tenant, florist)
    command = AssignFlorist(florist=florist, by=metadata.actor or "", now=context.clock())
    return await carry_out(context, order_id, command, metadata)


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


async def _placed_before(context: ApiContext, new: NewOrder, tenant: str) -> int | None:
    for claim in _key_claims(new):
        if (owner := await owner_of(context.store, tenant, claim)) is not None:
            return int(owner)
    return None


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
    return STOREFRONT_FEE if new.source == STOREFRONT else STAFF_FEE
