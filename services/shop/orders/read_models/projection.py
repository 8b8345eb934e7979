"""How events change the tables of orders: the states of a page's orders are read and evolved."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import delete, select, tuple_

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import ShopEvent
from contracts.shop import orders as events
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.pool import Connection
from libs.postgres.upsert import put_all
from libs.projections.projection import Projection, by_stream
from libs.security.data_keys import Subject, text_of
from libs.security.vault import VaultReader
from services.shop.orders.domain.contact import CONTACT, subject_id
from services.shop.orders.domain.decisions import ORDER as DECIDER
from services.shop.orders.domain.order import Order
from services.shop.orders.domain.status import Status
from services.shop.orders.read_models.tables import (
    ADD_COUNT,
    COUNT,
    ORDER,
    SAVE_COMMENT,
    SAVE_HISTORY,
    SAVE_ORDER,
    SAVE_PHOTO,
    TABLES,
)

SEALED: Final = ("comment", "reason", "text", "customer_name", "description")
"""The sealed fields of events, beside those of `OrderDetails`."""

Row: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, int]
Texts: TypeAlias = Mapping[str, str | None]

HISTORY_TYPES: Final[Mapping[type[Any], str]] = {
    events.OrderPlaced: "created",
    events.OrderEdited: "edited",
    events.OrderAddressChanged: "edited",
    events.OrderLinesChanged: "edited",
    events.OrderStatusChanged: "status_changed",
    events.OrderCancelled: "status_changed",
    events.OrderRolledBack: "status_changed",
    events.OrderIssueReported: "issue_reported",
    events.OrderPaymentReceived: "payment_received",
    events.OrderFloristAssigned: "florist_assigned",
    events.OrderCommentAdded: "comment_added",
}
"""The values of the clients (spec shop §3)."""


def projection(reader: VaultReader) -> Projection[ShopEvent]:
    """The projection, which opens sealed texts with `reader`."""
    return Projection(
        name="orders",
        tables=tuple(table.name for table in TABLES),
        topics=(shop.ORDERS,),
        codec=codec_of(shop.EVENTS),
        project=partial(project, reader=reader),
        shard_key=by_stream,
    )


async def project(
    connection: Connection, page: Sequence[Envelope[ShopEvent]], *, reader: VaultReader
) -> None:
    """Change the rows of all orders of a page, and add to their histories, comments and photos."""
    mine: list[Envelope[Any]] = [one for one in page if isinstance(one.event, shop.OrderEvent)]
    rows = await _rows(connection, {_key(one) for one in mine})
    before = {key: row["status"] for key, row in rows.items()}
    states = {key: msgspec.json.decode(row["state"], type=Order) for key, row in rows.items()}
    for envelope in mine:
        key, version = _key(envelope), envelope.version or 0
        row = rows.setdefault(key, {"created_at": envelope.occurred_at, "version": 0})
        if row["version"] < version:
            states[key] = DECIDER.evolve(states.get(key, DECIDER.initial), envelope.event)
            row |= _common(envelope)
    texts_of = {(tenant, n): _of_state(state) for (tenant, n), state in states.items()}
    opened = iter(
        await _open(
            connection, [*texts_of.items(), *((_key(e), _of_event(e)) for e in mine)], reader
        )
    )
    changes: list[Any] = [
        (SAVE_ORDER, rows[key] | _columns(state) | next(opened)) for key, state in states.items()
    ]
    changes += [one for envelope in mine for one in _notes(envelope, next(opened))]
    for (tenant, order_id), state in states.items():
        if (status := before.get((tenant, order_id))) != state.status:
            changes.append((ADD_COUNT, (tenant, state.status, 1)))
            changes += [(ADD_COUNT, (tenant, status, -1))] if status else []
    await put_all(connection, changes)
    if any(before.values()):
        await query.execute(connection, delete(COUNT).where(COUNT.c.orders == 0))


async def _rows(connection: Connection, keys: set[Key]) -> dict[Key, Row]:
    if not keys:
        return {}
    statement = select(ORDER).where(tuple_(ORDER.c.tenant, ORDER.c.order_id).in_(sorted(keys)))
    rows = await query.fetch(connection, statement)
    return {(row["tenant"], row["order_id"]): dict(row) for row in rows}


async def _open(
    connection: Connection, sealed: Sequence[tuple[Key, Texts]], reader: VaultReader
) -> list[dict[str, str | None]]:
    """The texts of orders, opened with one query for the keys of all."""
    pairs = [
        (Subject(tenant, subject_id(order_id)), text)
        for (tenant, order_id), texts in sealed
        for text in texts.values()
    ]
    opened = iter(await reader.open_many(connection, pairs))
    return [{name: text_of(next(opened)) for name in texts} for _, texts in sealed]


def _of_state(order: Order) -> Texts:
    texts = {name: getattr(order.placed, name) for name in CONTACT}
    return {**texts, "issue_comment": order.issue_comment}


def _of_event(envelope: Envelope[Any]) -> Texts:
    return {name: text for name in SEALED if (text := getattr(envelope.event, name, None))}


def _columns(order: Order) -> Row:
    """The columns by which orders are found, and all of the order."""
    return {
        **{name: getattr(order, name) for name in ("customer_id", "number", "tracking_token")},
        "status": order.status,
        "state": msgspec.json.encode(order).decode(),
    }


def _key(envelope: Envelope[Any]) -> Key:
    return envelope.tenant, envelope.event.order_id


def _common(envelope: Envelope[Any]) -> Row:
    tenant, order_id = _key(envelope)
    return {
        "tenant": tenant,
        "order_id": order_id,
        "version": envelope.version,
        "subject": subject_id(order_id),
        "updated_at": envelope.occurred_at,
    }


def _notes(envelope: Envelope[Any], texts: Texts) -> Iterator[tuple[Any, Row]]:
    """The rows of the other tables that an event changes."""
    event = envelope.event
    common = _common(envelope) | {"created_at": envelope.occurred_at}
    if (event_type := HISTORY_TYPES.get(type(event))) is not None:
        is_issue = isinstance(event, events.OrderCancelled | events.OrderIssueReported)
        entry = {
            "event_type": event_type,
            "old_status": getattr(event, "old_status", None),
            "new_status": Status.ISSUE if is_issue else getattr(event, "new_status", None),
            "comment": texts.get("comment") or texts.get("reason"),
            "actor": envelope.actor,
        }
        yield SAVE_HISTORY, common | entry
    match event:
        case (
            events.OrderCommentAdded() | events.OrderCommentChanged() | events.OrderCommentRemoved()
        ):
            comment = {
                "comment_id": event.comment_id,
                "author": getattr(event, "author", None),
                "is_removed": isinstance(event, events.OrderCommentRemoved),
            }
            yield SAVE_COMMENT, {**common, **texts, **comment}
        case events.OrderPhotoAdded():
            photo = {name: getattr(event, name) for name in ("photo_id", "file", "photo_type")}
            yield SAVE_PHOTO, {**common, **texts, **photo}
        case events.OrderPhotoRated(photo_id=photo_id, feedback=feedback):
            rated = {"customer_feedback": feedback, "feedback_comment": texts.get("comment")}
            yield SAVE_PHOTO, {**common, "photo_id": photo_id, **rated}
        case _:
            return
