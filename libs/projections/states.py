"""Read models whose rows are the states of aggregates, folded from the events by their deciders."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import BigInteger, Column, ColumnElement, MetaData, Table, Text, select
from sqlalchemy.dialects.postgresql import JSONB

from contracts.envelope import Envelope
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.decider import Decider
from libs.http.paging import Slice
from libs.postgres import query
from libs.postgres.pool import Pool, tenant_transaction
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection, Projection, by_stream

State = TypeVar("State")


class StateTable(Generic[State]):
    """The present states of all aggregates of a decider, whose ids are integers.

    A row has the columns `tenant` and `key`, which are its primary key, `version`, `state`, which
    is the state as JSON, so its class must be one that msgspec decodes, and the `columns`, by which
    queries filter and sort. `values` returns their values; a missing one is null.
    """

    def __init__(
        self,
        name: str,
        decider: Decider[State, Any, Any],
        *columns: Column[Any],
        key: str,
        values: Callable[[State], Mapping[str, Any]],
    ) -> None:
        self.table = Table(
            name,
            MetaData(),
            Column("tenant", Text, primary_key=True),
            Column(key, BigInteger, primary_key=True),
            Column("version", BigInteger, nullable=False),
            Column("state", JSONB, nullable=False),
            *columns,
        )
        self._key = self.table.c[key]
        self._decider = decider
        self._values = values
        self._save = upsert(self.table, newer="version")
        self._known = f"""SELECT tenant, {key} AS key, version, state FROM {name}
            JOIN unnest($1::text[], $2::bigint[]) AS wanted (tenant, {key}) USING (tenant, {key})
        """  # noqa: S608 -- names from the code

    def projection(self, topic: str, codec: Codec[Any]) -> Projection[Any]:
        """The projection, which has the name of the table."""
        name = self.table.name
        return Projection(
            name=name,
            tables=(name,),
            topics=(topic,),
            codec=codec,
            project=self.project,
            shard_key=by_stream,
        )

    async def project(self, connection: Connection, events: Sequence[Envelope[Any]]) -> None:
        """Fold the events of a page into the states of their aggregates."""
        prefix = self._decider.stream("")
        keys = [(one.tenant, int(one.stream.removeprefix(prefix))) for one in events]
        states = await self._read(connection, sorted({*keys}))
        for key, envelope in zip(keys, events, strict=True):
            state, version = states.get(key, (self._decider.initial, 0))
            if (new := envelope.version or 0) > version:
                states[key] = self._decider.evolve(state, envelope.event), new
        rows = [self._row(*key, *known) for key, known in states.items()]
        await self._save.put(connection, rows)

    def state_of(self, row: query.Row | None) -> State:
        """The state of a row; the initial one without a row."""
        if row is None:
            return self._decider.initial
        return msgspec.json.decode(row["state"], type=type(self._decider.initial))

    async def find(self, pool: Pool, tenant: str, number: int) -> State:
        """The state of an aggregate, the initial one if there is none. Raises Unavailable."""
        statement = select(self.table).where(self._key == number)
        async with tenant_transaction(pool, tenant) as connection:
            return self.state_of(await query.fetchrow(connection, statement))

    async def page(
        self,
        pool: Pool,
        tenant: str,
        condition: ColumnElement[bool],
        part: Slice,
        *order: ColumnElement[Any],
    ) -> tuple[list[State], int]:
        """A part of the states whose rows match, in order, and how many rows match.

        The order is by default that of the numbers. Raises Unavailable.
        """
        statement = select(self.table).where(condition).order_by(*(order or (self._key,)))
        async with tenant_transaction(pool, tenant) as connection:
            rows, total = await query.fetch_page(
                connection, statement, limit=part.limit, offset=part.offset
            )
        return [self.state_of(row) for row in rows], total

    async def _read(
        self, connection: Connection, keys: Sequence[tuple[str, int]]
    ) -> dict[tuple[str, int], tuple[State, int]]:
        tenants, numbers = [tenant for tenant, _ in keys], [number for _, number in keys]
        rows = await query.fetch(connection, self._known, tenants, numbers)
        return {(row["tenant"], row["key"]): (self.state_of(row), row["version"]) for row in rows}

    def _row(self, tenant: str, number: int, state: State, version: int) -> dict[str, Any]:
        encoded = msgspec.json.encode(state).decode()
        own = {"tenant": tenant, self._key.name: number, "version": version, "state": encoded}
        return {**self._values(state), **own}
