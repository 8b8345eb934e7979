"""Upserts generated from a table: many rows in one statement, with one array for each column.

A statement is `INSERT … SELECT * FROM unnest($1::…[], …) ORDER BY … ON CONFLICT DO UPDATE`. It
locks rows in the order of the primary key, so two transactions cannot deadlock.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from operator import add as plus
from operator import attrgetter, gt, itemgetter, lt
from typing import Any, Final, TypeAlias

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from libs.postgres.columns import Column, columns
from libs.postgres.pool import Connection

Names: TypeAlias = str | Sequence[str]
Row: TypeAlias = Sequence[Any] | dict[str, Any]
"""Values in the order of the statement's columns, or by name; a name without a value is a null."""
_Values: TypeAlias = Sequence[Any]
_Merge: TypeAlias = Callable[[_Values, _Values], _Values]

_numbers: Final = count()
_DIALECT: Final = PGDialect_asyncpg()  # type: ignore[no-untyped-call]


class Upsert:
    """A statement that writes rows with values for `columns`: see `upsert`, `insert_missing`.

    `action` is what follows `ON CONFLICT (…) DO`, `precheck` a condition on rows `new`. `merge`
    makes one row of two with the same key; None if the statement takes each key once. A statement
    has a `number` in the order of their definition.
    """

    def __init__(
        self,
        table: Table,
        columns: Sequence[str],
        action: str,
        *,
        merge: _Merge | None,
        precheck: str = "",
    ) -> None:
        self.number = next(_numbers)
        self.table = table
        self.columns = tuple(columns)
        self._keys = _keys(table)
        self._action = action
        self._merge = merge
        self._precheck = f" WHERE {precheck}" if precheck else ""
        self._key_of = _picked(self.columns, self._keys)
        self._sql = self.sql()

    def sql(self, *, first: int = 1, returning: str = "") -> str:
        """The statement with parameters from `$first` on, to be part of a larger one.

        In `returning`, `known` is the row that was written.
        """
        names = ", ".join(self.columns)
        types = (self.table.c[name].type.compile(dialect=_DIALECT) for name in self.columns)
        arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(types, first))
        order = ", ".join(str(self.columns.index(key) + 1) for key in self._keys)
        statement = (
            f"INSERT INTO {self.table.name} AS known ({names})\n"
            f"SELECT * FROM unnest({arrays}) AS new ({names}){self._precheck}\nORDER BY {order}\n"
            f"ON CONFLICT ({', '.join(self._keys)}) DO {self._action}"
        )
        return f"{statement}\nRETURNING {returning}" if returning else statement

    def parameters(self, rows: Iterable[Row]) -> list[Column]:
        """The parameters of `sql`, an empty list without rows. The keys of the rows must differ."""
        return columns(self._values(rows))

    async def put(self, connection: Connection, rows: Iterable[Row]) -> None:
        """Write the rows in one statement; nothing without rows.

        Rows with the same key are merged first, in their order, as the statement merges a row with
        that of the table: however rows are distributed over statements, the table is the same.
        With `newer` beside other rules this needs the rows of a key in that order.
        """
        values: Iterable[_Values] = self._values(rows)
        if self._merge is not None:
            values = self._merged(values, self._merge)
        if parameters := columns(values):
            await connection.execute(self._sql, *parameters)

    def _values(self, rows: Iterable[Row]) -> list[_Values]:
        names = self.columns
        return [[*map(row.get, names)] if isinstance(row, dict) else row for row in rows]

    def _merged(self, rows: Iterable[_Values], merge: _Merge) -> Iterable[_Values]:
        merged: dict[Any, _Values] = {}
        key_of = self._key_of
        for row in rows:
            key = key_of(row)
            merged[key] = merge(merged[key], row) if key in merged else row
        return merged.values()


async def put_all(connection: Connection, changes: Iterable[tuple[Upsert, Row]]) -> None:
    """Write rows of several statements: the statements in the order in which they were defined."""
    rows: dict[Upsert, list[Row]] = {}
    for statement, row in changes:
        rows.setdefault(statement, []).append(row)
    for statement in sorted(rows, key=attrgetter("number")):
        await statement.put(connection, rows[statement])


def insert_missing(table: Table, *names: str) -> Upsert:
    """A statement that inserts rows whose key is not in the table, and leaves the others.

    The rows have values for the key and the columns `names`, by default for all columns.
    """
    return Upsert(table, _given(table, names, ()), "NOTHING", merge=lambda known, _: known)


def upsert(
    table: Table,
    *names: str,
    newer: Names = (),
    older: Names = (),
    where: str = "",
    latest: Mapping[tuple[str, ...], Names] | None = None,
    absent: Mapping[str, str | int] | None = None,
    default: Names = (),
    read_first: bool = False,
    **rules: Names,
) -> Upsert:
    """A statement that inserts rows, or changes the row with the same key.

    The rows have values for the key and the columns `names`, by default for all columns. A change
    replaces a column, unless one of these `rules` has its name: `coalesce` (the last value that is
    not null), `keep` (the first one that is not null), `add` (the sum), `least`, `greatest` (both
    ignore nulls), `either` (true if one of two is), `insert_only` (no change). Columns of `latest`
    are replaced together with those that are its key, if these are greater. `absent` has values of
    columns that count as null.

    With `newer` a row changes only if these columns are greater than the known ones, with `older`
    only if they are less; they are compared in order and must not be null. `where` is a further
    condition on the rows `known` and `excluded`; a statement with it takes each key once. Columns
    of `default` have no value in the rows: they get their default again with each change. With
    `read_first`, rows that are not newer (or older) are left out before any row is locked: for
    tables in which hardly a row changes.
    """
    given = _given(table, names, default)
    order, sign, opposite = (newer, ">", ">=") if newer else (older, "<", "<=")
    changes = _changes(table, given, rules, latest or {}, absent or {})
    assignments = [f"{name} = excluded.{name}" for name in _list(default)]
    assignments += [f"{name} = {one.sql}" for name, one in changes.items() if one.sql]
    conditions = [_compared("excluded", sign, "known", order)] if order else []
    conditions += [where] if where else []
    action = "UPDATE SET\n    " + ",\n    ".join(assignments)
    action += f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
    precheck = _is_changed(table, opposite, order) if read_first else ""
    merge = None if where else _merge(given, changes, latest or {}, order, gt if newer else lt)
    return Upsert(table, given, action, merge=merge, precheck=precheck)


def _is_changed(table: Table, opposite: str, order: Names) -> str:
    same = _compared("old", "=", "new", _keys(table))
    known = _compared("old", opposite, "new", order)
    return f"NOT EXISTS (SELECT FROM {table.name} AS old WHERE {same} AND {known})"


@dataclass(frozen=True, slots=True)
class _Change:
    """How a column changes: in SQL, "" for not at all, and as a function of two values."""

    sql: str
    merge: Callable[[Any, Any], Any]


def _changes(
    table: Table,
    given: Sequence[str],
    rules: Mapping[str, Names],
    latest: Mapping[tuple[str, ...], Names],
    absent: Mapping[str, str | int],
) -> Mapping[str, _Change]:
    rule_of = {name: rule for rule, of_rule in rules.items() for name in _list(of_rule)}
    rule_of |= dict.fromkeys(_keys(table), "key")
    changes = {
        name: _change(name, rule_of.get(name, "replace"), absent.get(name)) for name in given
    }
    for by, others in latest.items():
        later = _compared("excluded", ">", "known", by)
        for name in (*by, *_list(others)):
            case = f"CASE WHEN {later} THEN excluded.{name} ELSE known.{name} END"
            changes[name] = _Change(case, lambda known, _: known)
    return changes


_SQL: Final = {
    "key": "",
    "replace": "{new}",
    "insert_only": "",
    "coalesce": "coalesce({some_new}, {known})",
    "keep": "coalesce({some_known}, {new})",
    "add": "{known} + {new}",
    "least": "least({known}, {new})",
    "greatest": "greatest({known}, {new})",
    "either": "{known} OR {new}",
}


def _change(name: str, rule: str, null: str | int | None) -> _Change:
    known, new = some_known, some_new = f"known.{name}", f"excluded.{name}"
    if null is not None:
        text = str(null) if isinstance(null, int) else "'" + null.replace("'", "''") + "'"
        some_known, some_new = f"nullif({known}, {text})", f"nullif({new}, {text})"
    sql = _SQL[rule].format(known=known, new=new, some_known=some_known, some_new=some_new)
    nulls = (None, null)
    merges: Mapping[str, Callable[[Any, Any], Any]] = {
        "key": _new,
        "replace": _new,
        "insert_only": lambda known, _: known,
        "coalesce": lambda known, new: known if new in nulls else new,
        "keep": lambda known, new: new if known in nulls else known,
        "add": plus,
        "least": lambda *two: min((one for one in two if one is not None), default=None),
        "greatest": lambda *two: max((one for one in two if one is not None), default=None),
        "either": lambda known, new: known or new,
    }
    return _Change(sql, merges[rule])


def _new(_: Any, new: Any) -> Any:
    return new


def _merge(
    given: Sequence[str],
    changes: Mapping[str, _Change],
    latest: Mapping[tuple[str, ...], Names],
    order: Names,
    follows: Callable[[Any, Any], bool],
) -> _Merge:
    """The row that two rows with the same key are written as."""
    merges = [changes[name].merge for name in given]
    groups = [
        (_picked(given, by), [given.index(name) for name in (*by, *_list(others))])
        for by, others in latest.items()
    ]
    order_of = _picked(given, order) if order else None
    # A fast path, for read models of every event.
    replaces = all(one is _new for one in merges)

    def merge(known: _Values, new: _Values) -> _Values:
        if order_of is not None and not follows(order_of(new), order_of(known)):
            return known
        if replaces:
            return new
        row = [one(*two) for one, two in zip(merges, zip(known, new, strict=True), strict=True)]
        for by, group in groups:
            if by(new) > by(known):
                for index in group:
                    row[index] = new[index]
        return row

    return merge


def _given(table: Table, names: Sequence[str], default: Names) -> Sequence[str]:
    if not names:
        return [name for name in table.columns.keys() if name not in _list(default)]  # noqa: SIM118
    return [*_keys(table), *names]


def _keys(table: Table) -> Sequence[str]:
    return table.primary_key.columns.keys()


def _list(names: Names) -> Sequence[str]:
    return (names,) if isinstance(names, str) else names


def _picked(columns: Sequence[str], names: Names) -> Callable[[_Values], Any]:
    """The values of some columns of a row, for comparisons."""
    return itemgetter(*(columns.index(name) for name in _list(names)))


def _compared(one: str, sign: str, other: str, names: Names) -> str:
    rows = [", ".join(f"{row}.{name}" for name in _list(names)) for row in (one, other)]
    return f"({rows[0]}) {sign} ({rows[1]})"
