"""Filters and sort orders of lists, from the values of a request to SQL.

A list declares its filters once, as `Filters(status=eq(T.c.status), q=contains(T.c.name))`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, UnaryExpression, and_, collate, func, literal, or_, true

from libs.errors import Unfit

Condition: TypeAlias = ColumnElement[bool]
Filter: TypeAlias = Callable[[Any], Condition]
"""The condition for a value."""
Interval: TypeAlias = tuple[date | datetime | None, date | datetime | None]
"""First and last moment or day, both included; None without a bound."""

# Maps the case of all letters, whatever the database's own collation is.
_UNICODE: Final = "pg_c_utf8"


class BadSort(Unfit):
    """A list cannot be sorted by this column, or by it twice."""


def eq(column: ColumnElement[Any]) -> Filter:
    """The column equals the value."""
    return lambda value: column == value


def one_of(column: ColumnElement[Any]) -> Filter:
    """The column equals one of the values; without values nothing matches."""
    return lambda values: column.in_(list(values))


def between(column: ColumnElement[Any]) -> Filter:
    """The column lies in an `Interval`."""

    def condition(interval: Interval) -> Condition:
        first, last = interval
        conditions = [column >= first] if first is not None else []
        return and_(true(), *conditions, *([column <= last] if last is not None else []))

    return condition


def contains(*columns: ColumnElement[str]) -> Filter:
    """One of the columns contains the text, in upper or lower case; no character is a wildcard."""

    def condition(text: str) -> Condition:
        escaped = re.sub(r"([\\%_])", r"\\\1", text)
        pattern = _folded(literal(f"%{escaped}%"))
        return or_(*(_folded(column).like(pattern, escape="\\") for column in columns))

    return condition


class Filters:
    """Filters by name."""

    def __init__(self, **filters: Filter) -> None:
        self._filters = filters

    def where(self, values: Mapping[str, Any]) -> Condition:
        """The rows that match all values; a value of None, or a missing one, filters nothing."""
        return and_(
            true(),
            *(
                of_value(values[name])
                for name, of_value in self._filters.items()
                if values.get(name) is not None
            ),
        )


def order_by(
    sort: str, allowed: Mapping[str, ColumnElement[Any]]
) -> Sequence[UnaryExpression[Any]]:
    """The order of a text like `-updated_at,+address`: names of `allowed`, `-` is descending.

    Append a unique column, so that pages do not overlap. Raises BadSort.
    """
    order: dict[str, UnaryExpression[Any]] = {}
    for text in filter(None, map(str.strip, sort.split(","))):
        name = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
        if name not in allowed or name in order:
            raise BadSort
        order[name] = allowed[name].desc() if text.startswith("-") else allowed[name].asc()
    return list(order.values())


def _folded(text: ColumnElement[str]) -> ColumnElement[str]:
    return func.lower(collate(text, _UNICODE))
