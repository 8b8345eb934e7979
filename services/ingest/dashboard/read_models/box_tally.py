"""The table of boxes: one tally for each day, box and operator.

A transition is stored as a text that sorts like the transition. So `least` and `greatest` merge
batches of one operator, `min` and `max` the rows of several operators.

A text holds the device's clock, the effective time, the receive time, the scan's id and the
action. One operator's transitions sort by the device's clock. Those of several operators sort by
the effective time: `_by_effective_time` moves the device's clock behind the other times.
"""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Date,
    DateTime,
    MetaData,
    Table,
    Text,
    case,
    cast,
    func,
    or_,
)

from libs.postgres.query import Row
from libs.postgres.upsert import upsert
from services.ingest.scans.domain.box import BACKLOG, BoxAction, BoxTransition, Tally
from services.ingest.scans.read_models.changed import TransactionId

BOX: Final = Table(
    "box",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("client", Text, primary_key=True),
    Column("city", Text, primary_key=True),
    Column("box", Text, primary_key=True),
    Column("operator", Text, primary_key=True),
    Column("number_key", Text, nullable=False),
    Column("items", BigInteger, nullable=False),
    Column("first_at", DateTime(timezone=True), nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("opened_at", DateTime(timezone=True)),
    Column("first_turn", Text),
    Column("last_turn", Text),
    Column("changed", TransactionId, nullable=False),
    Column("first_ahead", Text),
    Column("last_ahead", Text),
)
"""`day` is that of `effective_at`. `number_key` and the transitions sort byte by byte. `changed`
is the transaction that wrote the row last, for readers that follow changes by snapshots."""

SAVE: Final = upsert(
    BOX,
    add="items",
    least=("first_at", "first_turn", "first_ahead"),
    greatest=("last_at", "opened_at", "last_turn", "last_ahead"),
    insert_only="number_key",
    default="changed",
)


def tally_columns(tally: Tally) -> tuple[object, ...]:
    """The columns of a tally, from `items` on."""
    return (
        tally.items,
        tally.first_at,
        tally.last_at,
        tally.opened_at,
        _text(tally.first_timely),
        _text(tally.last_timely),
        _text(tally.first_ahead),
        _text(tally.last_ahead),
    )


def merged_columns() -> tuple[ColumnElement[Any], ...]:
    """The columns of one tally that merges several rows."""
    c = BOX.c
    return (
        cast(func.sum(c["items"]), BigInteger).label("items"),
        func.min(c.first_at).label("first_at"),
        func.max(c.last_at).label("last_at"),
        func.max(c.opened_at).label("opened_at"),
        func.min(_by_effective_time(_first(c.first_turn, c.first_ahead))).label("first_turn"),
        func.max(_by_effective_time(_last(c.last_turn, c.last_ahead))).label("last_turn"),
    )


def read_tally(row: Row) -> Tally:
    """The tally of a row with the columns of `merged_columns`."""
    return Tally(
        items=row["items"],
        first_at=row["first_at"],
        last_at=row["last_at"],
        opened_at=row["opened_at"],
        first_timely=_transition(row["first_turn"]),
        last_timely=_transition(row["last_turn"]),
    )


_MOMENT: Final = len("2025-10-31T12:00:00.000000")
_AT, _RECEIVED, _REST = (n * (_MOMENT + 1) + 1 for n in (1, 2, 3))
"""The 1-based offsets of effective time, receive time and the rest in a text."""


def _by_effective_time(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """A transition's text with the device's clock behind effective and receive time."""
    times = func.substr(text, _AT, 2 * _MOMENT + 1)
    return times + " " + func.left(text, _MOMENT) + " " + func.substr(text, _REST)


def _first(timely: ColumnElement[Any], ahead: ColumnElement[Any]) -> ColumnElement[Any]:
    """`Tally.first` as SQL."""
    both = case((_is_later(timely, ahead), ahead), else_=timely)
    return case((timely.is_(None), ahead), (ahead.is_(None), timely), else_=both)


def _last(timely: ColumnElement[Any], ahead: ColumnElement[Any]) -> ColumnElement[Any]:
    """`Tally.last` as SQL."""
    both = case((_is_later(timely, ahead), timely), else_=ahead)
    return case((timely.is_(None), ahead), (ahead.is_(None), timely), else_=both)


def _is_later(timely: ColumnElement[Any], ahead: ColumnElement[Any]) -> ColumnElement[bool]:
    """`BoxTransition.is_later` as SQL."""
    at = cast(func.substr(timely, _AT, _MOMENT), DateTime)
    received = cast(func.substr(ahead, _RECEIVED, _MOMENT), DateTime)
    by_device = func.left(timely, _MOMENT) >= func.left(ahead, _MOMENT)
    return or_(by_device, at > received + BACKLOG)


def _text(transition: BoxTransition | None) -> str | None:
    if transition is None:
        return None
    moments = (
        moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        for moment in (transition.scanned_at, transition.at, transition.received_at)
    )
    return " ".join((*moments, str(transition.scan_id), transition.action))


def _transition(text: str | None) -> BoxTransition | None:
    if text is None:
        return None
    at, received_at, scanned_at, scan_id, action = text.split(" ")
    return BoxTransition(
        _moment(at), _moment(received_at), UUID(scan_id), BoxAction(action), _moment(scanned_at)
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
