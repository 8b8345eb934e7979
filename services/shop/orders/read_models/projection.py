"""How events change the tables of orders: the rows of a page are read, changed, and written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import select, tuple_

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import (
    OrderAddressChanged,
    OrderCancelled,
    OrderCommentAdded,
    OrderCommentChanged,
    OrderCommentRemoved,
    OrderDetails,
    OrderEdited,
    OrderFloristAssigned,
    OrderIssueReported,
    OrderLine,
    OrderLinesChanged,
    OrderPaymentReceived,
    OrderPhotoAdded,
    OrderPhotoRated,
    OrderPlaced,
    OrderRolledBack,
    OrderStatusChanged,
    ShopEvent,
)
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.pool import Connection
from libs.postgres.upsert import put_all
from libs.projections.projection import Projection, by_stream
from libs.security.data_keys import Subject, text_of
from libs.security.vault import VaultReader
from services.shop.orders.domain.contact import Contact, subject_id
from services.shop.orders.domain.status import Status
from services.shop.orders.read_models.tables import (
    ORDER,
    SAVE_COMMENT,
    SAVE_HISTORY,
    SAVE_ORDER,
    SAVE_PHOTO,
    TABLES,
)

NAME: Final = "orders"
OTHER_ISSUE: Final = "other"
"""The type of the issue of a cancelled order (spec shop §4.1)."""
SEALED: Final = ("contact", "comment", "reason", "text", "customer_name", "description")
"""The fields of events and of `OrderDetails` that are sealed."""

Row: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, int]
Texts: TypeAlias = Mapping[str, str | None]
"""The opened texts of an event, by field."""


def projection(reader: VaultReader) -> Projection[ShopEvent]:
    """The projection, which opens sealed texts with `reader`."""
    return Projection(
        name=NAME,
        tables=tuple(table.name for table in TABLES),
        topics=(shop.ORDERS,),
        codec=codec_of(shop.EVENTS),
        project=partial(project, reader=reader),
        shard_key=by_stream,
    )


async def project(
    connection: Connection, events: Sequence[Envelope[ShopEvent]], *, reader: VaultReader
) -> None:
    """Change the rows of all orders of a page, and add to their histories, comments and photos."""
    mine: list[Envelope[Any]] = [one for one in events if isinstance(one.event, shop.OrderEvent)]
    rows = await _rows(connection, {(one.tenant, one.event.order_id) for one in mine})
    opened = await _open(connection, mine, reader)
    changes: list[Any] = []
    for envelope, texts in zip(mine, opened, strict=True):
        key = envelope.tenant, envelope.event.order_id
        rows[key] = _changed(rows.get(key), envelope, texts)
        changes += _others(envelope, texts)
    changes += [(SAVE_ORDER, row) for row in rows.values()]
    await put_all(connection, changes)


async def _rows(connection: Connection, keys: set[Key]) -> dict[Key, Row]:
    if not keys:
        return {}
    statement = select(ORDER).where(tuple_(ORDER.c.tenant, ORDER.c.order_id).in_(sorted(keys)))
    found = await query.fetch(connection, statement)
    return {(row["tenant"], row["order_id"]): dict(row) for row in found}


async def _open(
    connection: Connection, events: Sequence[Envelope[Any]], reader: VaultReader
) -> Sequence[Texts]:
    """The opened texts of each event, with one query for the keys of all."""
    sealed = [
        (number, name, Subject(one.tenant, subject_id(one.event.order_id)), text)
        for number, one in enumerate(events)
        for name, text in _sealed_of(one.event)
    ]
    texts = await reader.open_many(connection, [(subject, text) for *_, subject, text in sealed])
    opened: list[dict[str, str | None]] = [{} for _ in events]
    for (number, name, *_), text in zip(sealed, texts, strict=True):
        opened[number][name] = text_of(text)
    return opened


def _sealed_of(event: Any) -> Iterator[tuple[str, str | None]]:
    if isinstance(details := getattr(event, "details", None), OrderDetails):
        yield "contact", details.contact
    for name in SEALED:
        if hasattr(event, name):
            yield name, getattr(event, name)


def _changed(before: Row | None, envelope: Envelope[Any], texts: Texts) -> Row:
    row = before or _new(envelope)
    if before is not None and before["version"] >= (envelope.version or 0):
        return before
    event = envelope.event
    return {
        **row,
        **_values(row, event, texts),
        "version": envelope.version,
        "updated_at": envelope.occurred_at,
    }


def _new(envelope: Envelope[Any]) -> Row:
    row: Row = dict.fromkeys(ORDER.c.keys())
    return {
        **row,
        "tenant": envelope.tenant,
        "order_id": envelope.event.order_id,
        "subject": subject_id(envelope.event.order_id),
        "created_at": envelope.occurred_at,
    }


def _values(row: Row, event: Any, texts: Texts) -> Row:
    match event:
        case OrderPlaced():
            return _placed(event, texts)
        case OrderEdited() | OrderAddressChanged():
            return _details(event.details, texts)
        case OrderLinesChanged():
            return {"lines": _encoded(event.lines), "flower_sum": event.flower_sum}
        case OrderFloristAssigned():
            return {"florist": event.florist}
        case OrderPhotoAdded():
            return {"has_photos": row["has_photos"] or event.photo_type == "pre_delivery"}
        case _:
            return _status(row, event, texts)


def _placed(event: OrderPlaced, texts: Texts) -> Row:
    return {
        **_details(event.details, texts),
        "customer_id": event.customer_id,
        "number": event.number,
        "tracking_token": event.tracking_token,
        "status": Status.NEW,
        "lines": _encoded(event.lines),
        "flower_sum": event.flower_sum,
        "delivery_fee": event.delivery_fee,
        "source": event.source,
        "has_photos": False,
    }


def _details(details: OrderDetails, texts: Texts) -> Row:
    text = texts.get("contact")
    contact = (
        Contact(customer_phone="") if text is None else msgspec.json.decode(text, type=Contact)
    )
    return {
        # Of a forgotten person all are null.
        **(dict.fromkeys(asdict(contact)) if text is None else asdict(contact)),
        "address_needs_clarification": details.address_needs_clarification,
        "delivery_method": details.delivery_method,
        "delivery_from": details.delivery_from,
        "delivery_to": details.delivery_to,
        "payment_method": details.payment_method,
        "payment_date": details.payment_date,
    }


def _status(row: Row, event: Any, texts: Texts) -> Row:
    match event:
        case OrderStatusChanged(new_status=status, changed_at=at):
            paid_at = at if status == Status.PAID else None
            return {"status": status, "payment_date": row["payment_date"] or paid_at}
        case OrderIssueReported(issue_type=issue_type):
            return _issue(issue_type, texts.get("comment"))
        case OrderCancelled():
            return _issue(OTHER_ISSUE, texts.get("reason"))
        case OrderRolledBack(new_status=status):
            unpaid = status == Status.NEW and row["payment_id"] is None
            paid_at = None if unpaid else row["payment_date"]
            cleared = {"issue_type": None, "issue_comment": None}
            return {"status": status, "payment_date": paid_at, **cleared}
        case OrderPaymentReceived():
            return {
                "status": event.new_status,
                "payment_method": event.payment_method,
                "payment_date": event.received_at,
                "payment_id": event.payment_id,
            }
        case _:
            return {}


def _issue(issue_type: str, comment: str | None) -> Row:
    return {"status": Status.ISSUE, "issue_type": issue_type, "issue_comment": comment}


def _encoded(lines: Sequence[OrderLine]) -> str:
    return msgspec.json.encode(lines).decode()


def _others(envelope: Envelope[Any], texts: Texts) -> Iterator[tuple[Any, Row]]:
    """The rows of the other tables that an event changes."""
    if (history := _history(envelope, texts)) is not None:
        yield SAVE_HISTORY, history
    event = envelope.event
    common = {
        **_key(envelope),
        "created_at": envelope.occurred_at,
    }
    match event:
        case OrderCommentAdded() | OrderCommentChanged() | OrderCommentRemoved():
            yield (
                SAVE_COMMENT,
                {
                    **common,
                    "comment_id": event.comment_id,
                    "text": texts.get("text"),
                    "author": getattr(event, "author", None),
                    "customer_name": texts.get("customer_name"),
                    "is_removed": isinstance(event, OrderCommentRemoved),
                    "updated_at": envelope.occurred_at,
                },
            )
        case OrderPhotoAdded():
            photo = {"photo_id": event.photo_id, "file": event.file}
            kind = {"photo_type": event.photo_type, "description": texts.get("description")}
            yield SAVE_PHOTO, {**common, **photo, **kind}
        case OrderPhotoRated():
            rated = {"feedback": event.feedback, "feedback_comment": texts.get("comment")}
            yield SAVE_PHOTO, {**common, "photo_id": event.photo_id, **rated}
        case _:
            return


def _key(envelope: Envelope[Any]) -> Row:
    order_id = envelope.event.order_id
    return {
        "tenant": envelope.tenant,
        "order_id": order_id,
        "version": envelope.version,
        "subject": subject_id(order_id),
    }


HISTORY_TYPES: Final[Mapping[type[Any], str]] = {
    OrderPlaced: "created",
    OrderEdited: "edited",
    OrderAddressChanged: "edited",
    OrderLinesChanged: "edited",
    OrderStatusChanged: "status_changed",
    OrderCancelled: "status_changed",
    OrderRolledBack: "status_changed",
    OrderIssueReported: "issue_reported",
    OrderPaymentReceived: "payment_received",
    OrderFloristAssigned: "florist_assigned",
    OrderCommentAdded: "comment_added",
}
"""The values of the clients (spec shop §3)."""


def _history(envelope: Envelope[Any], texts: Texts) -> Row | None:
    event = envelope.event
    if (event_type := HISTORY_TYPES.get(type(event))) is None:
        return None
    ends = isinstance(event, OrderCancelled | OrderIssueReported)
    return {
        **_key(envelope),
        "event_type": event_type,
        "old_status": getattr(event, "old_status", None),
        "new_status": Status.ISSUE if ends else getattr(event, "new_status", None),
        "comment": texts.get("comment") or texts.get("reason"),
        "actor": envelope.actor,
        "at": envelope.occurred_at,
    }
