"""Who are the customers of a shop, and what did they order?

The records are in the clear here, under row-level security, in columns that are erased when a
person is forgotten. Statistics count the orders of all records that were merged into a customer,
except those with an issue (spec shop §4.2).

A customer is a row with the columns of `CUSTOMER` and of the statistics, money in whole tenge.
`person` is the JSON of a `Person`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    MetaData,
    Select,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import (
    CustomerChanged,
    CustomerMergedAway,
    CustomerRegistered,
    CustomersMerged,
    OrderCancelled,
    OrderIssueReported,
    OrderLinesChanged,
    OrderPaymentReceived,
    OrderPlaced,
    OrderRolledBack,
    OrderStatusChanged,
    ShopEvent,
)
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.filters import Filters, contains
from libs.postgres.personal import personal
from libs.postgres.pool import Connection
from libs.postgres.query import Row
from libs.postgres.upsert import put_all, upsert
from libs.projections.projection import Projection
from libs.security.data_keys import Subject, text_of
from libs.security.vault import VaultReader
from services.shop.customers.domain.person import Person, subject_id

PERSON: Final = personal(of="subject")
CUSTOMER: Final = Table(
    "customer",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("customer_id", BigInteger, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("phone", Text, info=PERSON),
    Column("name", Text, info=PERSON),
    Column("email", Text, info=PERSON),
    Column("person", JSONB, info=PERSON),
    Column("source", Text),
    Column("merged", JSONB),
    Column("is_merged_away", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)
CUSTOMER_ORDER: Final = Table(
    "customer_order",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("order_id", BigInteger, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("customer_id", BigInteger),
    Column("flower_sum", BigInteger),
    Column("delivery_fee", BigInteger),
    Column("status", Text),
    Column("placed_at", DateTime(timezone=True)),
)
_RECORD: Final = ("subject", "phone", "name", "email", "person", "source")
SAVE: Final = upsert(
    CUSTOMER,
    newer="version",
    coalesce=(*_RECORD, "merged"),
    either="is_merged_away",
    insert_only="created_at",
)
SAVE_ORDER: Final = upsert(
    CUSTOMER_ORDER,
    newer="version",
    coalesce=("customer_id", "flower_sum", "delivery_fee", "status", "placed_at"),
)
CLOSED: Final = ("delivered", "completed", "issue")
"""The states of orders on which no work is left."""
FILTERS: Final = Filters(search=contains(CUSTOMER.c.phone, CUSTOMER.c.name, CUSTOMER.c.email))


def projection(reader: VaultReader) -> Projection[ShopEvent]:
    """The projection, which opens the sealed records with `reader`."""
    return Projection(
        name="customer",
        tables=("customer", "customer_order"),
        topics=(shop.CUSTOMERS, shop.ORDERS),
        codec=codec_of(shop.EVENTS),
        project=partial(project, reader=reader),
    )


async def project(
    connection: Connection, events: Sequence[Envelope[ShopEvent]], *, reader: VaultReader
) -> None:
    """Store the records, and the orders that count for the statistics."""
    kinds = CustomerRegistered | CustomerChanged | CustomersMerged
    records: list[Envelope[Any]] = [one for one in events if isinstance(one.event, kinds)]
    texts = await reader.open_many(
        connection,
        [
            (Subject(one.tenant, subject_id(one.event.customer_id)), one.event.person)
            for one in records
        ],
    )
    changes: list[Any] = [
        (SAVE, _record(one, text_of(text))) for one, text in zip(records, texts, strict=True)
    ]
    for one in events:
        if isinstance(one.event, CustomerMergedAway):
            changes.append((SAVE, _row(one) | {"is_merged_away": True}))
        elif values := _order(one.event):
            key = {"tenant": one.tenant, "version": one.version}
            changes.append((SAVE_ORDER, key | values))
    await put_all(connection, changes)


async def page(
    connection: Connection, *, search: str, limit: int, offset: int
) -> tuple[list[Row], int]:
    """Customers, the newest first, and how many there are."""
    where = LIVE & FILTERS.where({"search": search or None})
    some = _CUSTOMERS.where(where).order_by(CUSTOMER.c.customer_id.desc())
    rows = await query.fetch(connection, some.limit(limit).offset(offset))
    count = select(func.count()).select_from(CUSTOMER).where(where)
    return rows, await query.fetchval(connection, count)


async def find(connection: Connection, customer_id: int) -> Row | None:
    """A customer, if there is one."""
    return await query.fetchrow(connection, _ONE, customer_id=customer_id)


async def ids_of(connection: Connection, customer_id: int) -> list[int]:
    """The ids of a customer and of all records merged into it; none if there is no customer."""
    ids: list[int] | None = await query.fetchval(
        connection, select(_IDS).where(LIVE, CUSTOMER.c.customer_id == customer_id)
    )
    return ids or []


async def orders_of(connection: Connection, customer_ids: Sequence[int]) -> Mapping[int, bool]:
    """The ids of all orders of these records, and whether each is open."""
    orders = select(CUSTOMER_ORDER).where(CUSTOMER_ORDER.c.customer_id.in_(customer_ids))
    rows = await query.fetch(connection, orders)
    return {row["order_id"]: row["status"] not in CLOSED for row in rows}


LIVE: Final = CUSTOMER.c.is_merged_away.is_(False) & CUSTOMER.c.person.is_not(None)
"""Customers of their own, who were not forgotten."""


_IDS: Final[ColumnElement[Any]] = literal_column(
    "customer.customer_id || array(SELECT jsonb_array_elements(customer.merged)::bigint)"
)
"""The ids of a customer and of all records that were merged into it."""


def _with_statistics() -> Select[Any]:
    order = CUSTOMER_ORDER.c
    spent = func.coalesce(func.sum(order.flower_sum + order.delivery_fee), 0)
    counted = select(
        func.count().label("orders_count"),
        cast(spent, BigInteger).label("total_spent"),
        func.max(order.placed_at).label("last_order_date"),
    ).where(
        order.tenant == CUSTOMER.c.tenant,
        order.customer_id == any_(_IDS),
        order.status != "issue",
    )
    statistics = counted.lateral("statistics")
    return select(CUSTOMER, statistics).select_from(CUSTOMER.join(statistics, true()))


_CUSTOMERS: Final = _with_statistics()
_ONE: Final = _CUSTOMERS.where(LIVE, CUSTOMER.c.customer_id == bindparam("customer_id"))


def _record(envelope: Envelope[Any], text: str | None) -> dict[str, Any]:
    event = envelope.event
    person = None if text is None else msgspec.json.decode(text, type=Person)
    merged = isinstance(event, CustomersMerged)
    return _row(envelope) | {
        "phone": person and person.phone,
        "name": person and person.name,
        "email": person and person.email,
        "person": text,
        "source": None if merged else event.source,
        "merged": msgspec.json.encode(event.merged).decode() if merged else None,
        "is_merged_away": False,
    }


def _row(envelope: Envelope[Any]) -> dict[str, Any]:
    customer_id = envelope.event.customer_id
    return {
        "tenant": envelope.tenant,
        "customer_id": customer_id,
        "version": envelope.version,
        "subject": subject_id(customer_id),
        "created_at": envelope.occurred_at,
        "updated_at": envelope.occurred_at,
    }


def _order(event: ShopEvent) -> dict[str, Any] | None:
    match event:
        case OrderPlaced():
            return query.values_for(CUSTOMER_ORDER, event, status="new")
        case OrderLinesChanged():
            return {"order_id": event.order_id, "flower_sum": event.flower_sum}
        case OrderStatusChanged() | OrderRolledBack() | OrderPaymentReceived():
            return {"order_id": event.order_id, "status": event.new_status}
        case OrderIssueReported() | OrderCancelled():
            return {"order_id": event.order_id, "status": "issue"}
        case _:
            return None
