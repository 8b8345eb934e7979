"""Who are the customers of a shop, and what did they order?

The records are in the clear here, under row-level security, in columns that are erased when a
person is forgotten. Statistics count the orders of all records that were merged into a customer,
except those with an issue (spec shop §4.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
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
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

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
FILTERS: Final = Filters(search=contains(CUSTOMER.c.phone, CUSTOMER.c.name, CUSTOMER.c.email))


@dataclass(frozen=True, slots=True)
class CustomerView:
    """A customer with the statistics of the orders. Money in whole tenge."""

    customer_id: int
    person: Person
    source: str | None
    orders_count: int
    total_spent: int
    last_order_at: datetime | None
    created_at: datetime
    updated_at: datetime


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
    sealed = [
        (Subject(one.tenant, subject_id(event.customer_id)), event.person)
        for one in events
        if isinstance(event := one.event, CustomerRegistered | CustomerChanged | CustomersMerged)
    ]
    opened = iter(await reader.open_many(connection, sealed))
    changes: list[Any] = []
    for envelope in events:
        if isinstance(envelope.event, CustomerRegistered | CustomerChanged | CustomersMerged):
            changes.append((SAVE, _record(envelope, text_of(next(opened)))))
        elif isinstance(envelope.event, CustomerMergedAway):
            changes.append((SAVE, _merged_away(envelope)))
        elif (row := _order(envelope)) is not None:
            changes.append((SAVE_ORDER, row))
    await put_all(connection, changes)


async def page(
    connection: Connection, *, search: str, limit: int, offset: int
) -> tuple[list[CustomerView], int]:
    """Customers, the newest first, and how many there are."""
    where = (LIVE, FILTERS.where({"search": search or None}))
    rows = await query.fetch(
        connection,
        _with_statistics()
        .where(*where)
        .order_by(CUSTOMER.c.customer_id.desc())
        .limit(limit)
        .offset(offset),
    )
    total = await query.fetchval(
        connection, select(func.count()).select_from(CUSTOMER).where(*where)
    )
    return [_view(row) for row in rows], total


async def ids_of(connection: Connection, customer_id: int) -> list[int]:
    """The ids of a customer and of all records merged into it; none if there is no customer."""
    ids: list[int] | None = await query.fetchval(
        connection, select(_IDS).where(LIVE, CUSTOMER.c.customer_id == customer_id)
    )
    return ids or []


async def statistics(connection: Connection, customer_ids: Sequence[int]) -> dict[str, Any]:
    """The statistics of `CustomerView` over the orders of these records."""
    row = await query.fetchrow(
        connection, _statistics(any_(literal(list(customer_ids), ARRAY(BigInteger))))
    )
    return {} if row is None else {**row, "total_spent": int(row["total_spent"])}


async def find(connection: Connection, customer_id: int) -> CustomerView | None:
    """A customer, if there is one."""
    row = await query.fetchrow(
        connection, _with_statistics().where(LIVE, CUSTOMER.c.customer_id == customer_id)
    )
    return None if row is None else _view(row)


LIVE: Final = CUSTOMER.c.is_merged_away.is_(False) & CUSTOMER.c.person.is_not(None)
"""Customers of their own, who were not forgotten."""


_IDS: Final[ColumnElement[Any]] = literal_column(
    "customer.customer_id || array(SELECT jsonb_array_elements(customer.merged)::bigint)"
)
"""The ids of a customer and of all records that were merged into it."""


def _with_statistics() -> Select[Any]:
    counted = _statistics(any_(_IDS)).where(CUSTOMER_ORDER.c.tenant == CUSTOMER.c.tenant)
    statistics = counted.lateral("statistics")
    return select(CUSTOMER, statistics).select_from(CUSTOMER.join(statistics, true()))


def _statistics(customer_ids: Any) -> Select[Any]:
    order = CUSTOMER_ORDER.c
    return select(
        func.count().label("orders_count"),
        func.coalesce(func.sum(order.flower_sum + order.delivery_fee), 0).label("total_spent"),
        func.max(order.placed_at).label("last_order_at"),
    ).where(order.customer_id == customer_ids, order.status != "issue")


def _view(row: query.Row) -> CustomerView:
    return CustomerView(
        customer_id=row["customer_id"],
        person=msgspec.json.decode(row["person"], type=Person),
        source=row["source"],
        orders_count=row["orders_count"],
        total_spent=int(row["total_spent"]),
        last_order_at=row["last_order_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


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


def _merged_away(envelope: Envelope[Any]) -> dict[str, Any]:
    return _row(envelope) | {"is_merged_away": True}


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


def _order(envelope: Envelope[Any]) -> dict[str, Any] | None:
    event = envelope.event
    match event:
        case OrderPlaced():
            values: dict[str, Any] = {
                "customer_id": event.customer_id,
                "flower_sum": event.flower_sum,
                "delivery_fee": event.delivery_fee,
                "status": "new",
                "placed_at": event.placed_at,
            }
        case OrderLinesChanged():
            values = {"flower_sum": event.flower_sum}
        case OrderStatusChanged() | OrderRolledBack() | OrderPaymentReceived():
            values = {"status": event.new_status}
        case OrderIssueReported() | OrderCancelled():
            values = {"status": "issue"}
        case _:
            return None
    return {
        "tenant": envelope.tenant,
        "order_id": event.order_id,
        "version": envelope.version,
        **values,
    }
