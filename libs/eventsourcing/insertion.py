"""Inserting the rows of a group: one statement that inserts all of them, or nothing.

Groups that consist of facts only, as nearly all do, take a path of their own that costs a third:
texts are sent as a few long strings, because the client encodes arrays slowly, and the metadata of
an append is sent once. If all facts are new, no id needs to be looked up.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg

from libs.eventsourcing.log import FactsAppended, NewFact
from libs.eventsourcing.plan import (
    Append,
    AppendFacts,
    Head,
    Known,
    LogPosition,
    Plan,
    Request,
    Row,
    plan,
)
from libs.eventsourcing.rows import metadata_json
from libs.eventsourcing.tokens import token_of

_GIVEN: Final = """
INSERT INTO events
    (event_id, tenant, stream, version, type, schema_version, data, metadata, occurred_at)
SELECT event_id, tenant, stream, version, type, schema_version, data::jsonb, metadata::jsonb,
    occurred_at
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::smallint[],
    $7::text[], $8::text[], $9::timestamptz[])
    AS given (event_id, tenant, stream, version, type, schema_version, data, metadata, occurred_at)
"""

_NEW: Final = """
ON CONFLICT DO NOTHING
RETURNING event_id, version, xid::text::bigint AS xid, position
"""

INSERT: Final = f"{_GIVEN} {_NEW}"
"""Insert all rows in the given order (see `plan.Row.sort_key`), skipping ids that are known."""

APPEND: Final = f"""
WITH added AS (
    {_GIVEN}
    WHERE NOT EXISTS (
        SELECT FROM unnest($10::text[], $11::text[], $12::int[]) AS base (tenant, stream, version)
        -- The limit makes it one index look-up a row; an anti-join would read the whole table.
        WHERE (
            SELECT true FROM events
            WHERE events.tenant = base.tenant AND events.stream = base.stream
                AND events.version = base.version
            LIMIT 1
        ) IS NULL
    )
    {_NEW}
)
SELECT event_id, version, xid, position, 1 / CASE WHEN
    count(*) FILTER (WHERE version IS NOT NULL OR event_id = ANY($13::uuid[])) OVER () < $14
    THEN 0 /* another writer was first, so nothing is appended here */ ELSE 1 END AS whole
FROM added
"""  # noqa: S608
"""Insert rows if the assumed versions exist, and all versioned rows and the facts `$13` are new.

These are `$14` rows. If fewer are inserted, the statement divides by zero, so that its transaction
is rolled back.
"""

KNOWN: Final = """
SELECT event_id, tenant, stream, version, xid::text::bigint AS xid, position,
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS later
FROM events WHERE event_id = ANY($1::uuid[])
"""
"""`later` is the id of a transaction that has not begun, so it ends after all those seen here."""

COMMITTED_STATE: Final = f"""
SELECT NULL::uuid AS event_id, tenant, stream, last.version, NULL::bigint AS xid,
    NULL::bigint AS position, NULL::bigint AS later
FROM unnest($1::text[], $2::text[]) AS head (tenant, stream),
LATERAL (
    SELECT events.version FROM events
    WHERE events.tenant = head.tenant AND events.stream = head.stream
        AND events.version IS NOT NULL
    ORDER BY events.version DESC LIMIT 1
) AS last
UNION ALL {KNOWN.replace("$1", "$3")}
"""  # noqa: S608
"""The versions of streams (rows without an event id) and the known events, in one snapshot."""

SEPARATOR: Final = "\x1f"
"""Separates the texts of several rows. JSON cannot contain it; other texts that do are sent as
arrays."""

FACTS: Final = f"""
WITH added AS (
    INSERT INTO events
        (event_id, tenant, stream, type, schema_version, data, metadata, occurred_at)
    SELECT event_id::uuid, tenant, stream, type, schema_version::smallint, data::jsonb,
        $9::jsonb -> metadata_index::int, occurred_at
    FROM unnest({", ".join(f"string_to_array(${n}::text, E'{chr(92)}x1f')" for n in range(1, 8))},
        $8::timestamptz[])
        AS given (event_id, tenant, stream, type, schema_version, data, metadata_index,
            occurred_at)
    ON CONFLICT DO NOTHING
    RETURNING event_id, xid, position
)
SELECT (SELECT xid::text::bigint FROM added LIMIT 1) AS xid,
    (SELECT array_agg(position ORDER BY position) FROM added) AS positions,
    (
        SELECT array_agg(event_id ORDER BY position) FROM added
        WHERE (SELECT count(*) FROM added) < $10
    ) AS event_ids
"""  # noqa: S608
"""Insert facts in the given order. Returns one row: `event_ids` are the new ones, or null if all
`$10` are new. `metadata_index` is the index of a row's metadata in the list `$9`."""


class Conflict(Exception):
    """Another writer changed what the plan assumed. Nothing was written."""


async def insert(connection: Any, planned: Plan) -> dict[UUID, LogPosition]:
    """Insert the rows of a plan; the position of each inserted event. Raises Conflict."""
    if not planned.rows:
        return {}
    if not planned.required:
        return _inserted(await connection.fetch(INSERT, *_columns(planned.rows)))
    assumed = planned.assumed_versions
    tenants, streams = [tenant for tenant, _ in assumed], [stream for _, stream in assumed]
    versions = (tenants, streams, [*assumed.values()])
    required = (list(planned.bound), len(planned.required))
    # In a caller's transaction only a savepoint survives the error.
    savepoint = connection.transaction() if connection.is_in_transaction() else nullcontext()
    try:
        async with savepoint:
            rows = await connection.fetch(APPEND, *_columns(planned.rows), *versions, *required)
    except asyncpg.DivisionByZeroError as error:
        raise Conflict from error
    if not rows:
        raise Conflict
    return _inserted(rows)


async def plan_from_committed(connection: Any, requests: Sequence[Request]) -> Plan:
    """The plan after reading the committed versions and ids, when the optimistic plan failed."""
    appends = [request for request in requests if isinstance(request, Append)]
    heads = list({head for request in appends for head in request.heads})
    ids = [event.event_id for append in appends for event in (*append.events, *append.facts)]
    versions: dict[Head, int] = {}
    known: dict[UUID, Known] = {}
    tenants, streams = [tenant for tenant, _ in heads], [stream for _, stream in heads]
    rows = await connection.fetch(COMMITTED_STATE, tenants, streams, ids)
    for event_id, tenant, stream, version, xid, position, _ in rows:
        if event_id is None:
            versions[tenant, stream] = version
        else:
            known[event_id] = Known((tenant, stream), version, (xid, position))
    return plan(requests, versions, known)


async def positions_of(
    connection: Any, event_ids: set[UUID]
) -> tuple[dict[UUID, LogPosition], int]:
    """The positions of events in the log, and a transaction later than all that wrote them."""
    rows = await connection.fetch(KNOWN, list(event_ids)) if event_ids else []
    return _inserted(rows), (rows[0]["later"] if rows else 0)


def _inserted(rows: Sequence[asyncpg.Record]) -> dict[UUID, LogPosition]:
    return {row["event_id"]: (row["xid"], row["position"]) for row in rows}


def _columns(rows: Sequence[Row]) -> tuple[list[Any], ...]:
    """The parameters of `INSERT`, in order."""
    # Events that were appended together share the metadata object.
    all_metadata = {id(row.metadata): row.metadata for row in rows}
    texts = {key: metadata_json(metadata).decode() for key, metadata in all_metadata.items()}
    return (
        [row.event.event_id for row in rows],
        [row.metadata.tenant for row in rows],
        [row.stream for row in rows],
        [row.version for row in rows],
        [row.event.type for row in rows],
        [row.event.schema_version for row in rows],
        [row.event.data.decode() for row in rows],
        [texts[id(row.metadata)] for row in rows],
        [row.event.occurred_at for row in rows],
    )


class NotSeparable(Exception):
    """A text contains the separator or is empty, so the rows cannot be sent as joined texts."""


_FactEntry: TypeAlias = tuple[str, int, NewFact]
"""The fact's id as hex digits, the number of its request, and the fact."""

_id_of: Final = itemgetter(0)


@dataclass(frozen=True, slots=True)
class InsertedFacts:
    """The outcome of inserting facts; the entries are in the order of their ids.

    If all of them were new, `inserted` is None and `positions` are theirs, in the same order.
    """

    entries: Sequence[_FactEntry]
    xid: int
    positions: Sequence[int]
    inserted: Mapping[UUID, LogPosition] | None

    def results(self, requests: Sequence[AppendFacts]) -> list[FactsAppended]:
        """The results of the requests, if all facts were new."""
        last = [0] * len(requests)
        for (_, number, _), position in zip(self.entries, self.positions, strict=True):
            # Positions ascend.
            last[number] = position
        return [
            FactsAppended(
                frozenset([fact.event_id for fact in request.facts]),
                token_of([(self.xid, position)], later=self.xid) if position else "",
            )
            for request, position in zip(requests, last, strict=True)
        ]


async def insert_facts(connection: Any, requests: Sequence[AppendFacts]) -> InsertedFacts:
    """Insert the facts that are new. Raises NotSeparable, and then nothing was written."""
    entries = [
        (f"{fact.event_id.int:032x}", number, fact)
        for number, request in enumerate(requests)
        for fact in request.facts
    ]
    if not entries:
        return InsertedFacts((), 0, (), None)
    # In the order of `plan.Row.sort_key`.
    entries.sort(key=_id_of)
    row = await connection.fetchrow(FACTS, *_fact_arguments(requests, entries))
    xid, positions, event_ids = row
    if event_ids is None and positions is not None:
        return InsertedFacts(entries, xid, positions, None)
    new = zip(event_ids or (), positions or (), strict=True)
    inserted = {event_id: (xid, position) for event_id, position in new}
    return InsertedFacts(entries, xid or 0, (), inserted)


def _fact_arguments(
    requests: Sequence[AppendFacts], entries: Sequence[_FactEntry]
) -> tuple[Any, ...]:
    facts = [fact for _, _, fact in entries]
    all_metadata = [request.metadata for request in requests]
    tenants = [metadata.tenant for metadata in all_metadata]
    texts = b",".join(map(metadata_json, all_metadata))
    data = SEPARATOR.encode().join([fact.data for fact in facts]).decode()
    return (
        SEPARATOR.join([digits for digits, _, _ in entries]),
        _joined([tenants[number] for _, number, _ in entries]),
        _joined([fact.stream for fact in facts]),
        _joined([fact.type for fact in facts]),
        _joined([str(fact.schema_version) for fact in facts]),
        _separable(data, len(facts)),
        _joined([str(number) for _, number, _ in entries]),
        [fact.occurred_at for fact in facts],
        f"[{texts.decode()}]",
        len(facts),
    )


def _joined(texts: Sequence[str]) -> str:
    return _separable(SEPARATOR.join(texts), len(texts))


def _separable(joined: str, count: int) -> str:
    """`joined`, if it can be split into `count` texts. Raises NotSeparable."""
    # An empty text is split into no parts, not into one.
    if not joined or joined.count(SEPARATOR) != count - 1:
        raise NotSeparable
    return joined
