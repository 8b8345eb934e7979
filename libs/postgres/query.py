"""Statements on a connection or a pool: SQL, or SQLAlchemy Core, which is run by asyncpg.

Write a statement as a constant with `bindparam`, or build it where it is used: compiled SQL is
cached by the shape of the statement, so both are compiled only once.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import asyncpg
from sqlalchemy import Select, Table, func, select
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql.compiler import Compiled, SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.util import LRUCache

from libs.postgres.pool import Connection, Pool, acquire, skip_session_reset

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Data = TypeVar("Data", bound="DataclassInstance")
Row: TypeAlias = asyncpg.Record
Source: TypeAlias = "Connection | Pool"
Statement: TypeAlias = str | ClauseElement

_DIALECT = PGDialect_asyncpg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
_cache: LRUCache[Any, Compiled] = LRUCache(500)


async def fetch(source: Source, statement: Statement, *args: Any, **params: Any) -> list[Row]:
    """All rows of a statement, which may be SQL with `$1` for each of `args`, or SQLAlchemy Core
    with a `bindparam` for each of `params`.

    On a pool the statement is a transaction of its own, and raises Unavailable. It must not set
    anything in the session, which is not reset.
    """
    sql, values = _parameters(statement, args, params)
    async with _connection(source) as connection:
        return await connection.fetch(sql, *values)


async def fetchrow(source: Source, statement: Statement, *args: Any, **params: Any) -> Row | None:
    """The first row, or None. See `fetch`."""
    sql, values = _parameters(statement, args, params)
    async with _connection(source) as connection:
        return await connection.fetchrow(sql, *values)


async def fetchval(source: Source, statement: Statement, *args: Any, **params: Any) -> Any:
    """The first column of the first row, or None. See `fetch`."""
    sql, values = _parameters(statement, args, params)
    async with _connection(source) as connection:
        return await connection.fetchval(sql, *values)


async def fetch_page(
    source: Source, statement: Select[Any], *, limit: int, offset: int
) -> tuple[list[Row], int]:
    """The rows of a part of an ordered query, and the number of all its rows. See `fetch`."""
    rows = await fetch(source, statement.limit(limit).offset(offset))
    total = select(func.count()).select_from(statement.order_by(None).subquery())
    return rows, await fetchval(source, total)


async def execute(source: Source, statement: Statement, *args: Any, **params: Any) -> str:
    """Run a statement without rows. Returns its command tag, such as `UPDATE 3`. See `fetch`."""
    sql, values = _parameters(statement, args, params)
    async with _connection(source) as connection:
        return await connection.execute(sql, *values)


def compiled(statement: ClauseElement, params: dict[str, Any]) -> tuple[str, list[Any]]:
    """The SQL with `$1` parameters, and their values in that order.

    An `in_` list becomes one parameter per element, so prefer `= any(array)` for long ones.
    Defaults that SQLAlchemy would compute in Python are not applied. Raises
    `sqlalchemy.exc.InvalidRequestError` if a `bindparam` is left without a value.
    """
    # SQLAlchemy's engine calls these; there is no public access to its cache.
    compiler, literals, preset, _ = statement._compile_w_cache(
        _DIALECT, compiled_cache=_cache, column_keys=sorted(params)
    )
    if not isinstance(compiler, SQLCompiler):
        raise TypeError("not a query")
    values = compiler.construct_params(
        params, extracted_parameters=literals, escape_names=False, _collected_params=preset
    )
    sql, names, processors = compiler.string, compiler.positiontup, compiler._bind_processors
    if compiler.literal_execute_params or compiler.post_compile_params:
        state = compiler._process_parameters_for_postcompile(values)
        sql, names = state.statement, list(state.positiontup or ())
        values, processors = dict(state.parameters), {**processors, **state.processors}
    return sql, [_processed(processors.get(name), values[name]) for name in names or ()]


def row_as(kind: type[Data], row: Row, **values: Any) -> Data:
    """A dataclass from the columns named as its fields; `values` are of fields without a column."""
    names = (field.name for field in fields(kind) if field.name not in values)
    return kind(**{name: row[name] for name in names}, **values)


def values_for(table: Table, event: Any, **values: Any) -> dict[str, Any]:
    """The values of columns named as fields of the event; `values` are of other columns."""
    names = (name for name in table.columns.keys() if hasattr(event, name))  # noqa: SIM118
    return {name: getattr(event, name) for name in names} | values


def listed_texts(values: Iterable[str]) -> str:
    """`'a', 'b'` for a constant `IN (…)`. Values come from the code, never from a request."""
    return ", ".join(f"'{value}'" for value in sorted(values))


def _parameters(
    statement: Statement, args: Sequence[Any], params: dict[str, Any]
) -> tuple[str, Sequence[Any]]:
    return (statement, args) if isinstance(statement, str) else compiled(statement, params)


def _connection(source: Source) -> AbstractAsyncContextManager[Connection]:
    return _acquired(source) if isinstance(source, asyncpg.Pool) else nullcontext(source)


@asynccontextmanager
async def _acquired(pool: Pool) -> AsyncIterator[Connection]:
    async with acquire(pool) as connection:
        # One statement in a transaction of its own leaves nothing in the session.
        skip_session_reset(connection)
        yield connection


def _processed(process: Any, value: Any) -> Any:
    return value if process is None else process(value)
