"""Writing what was planned: one statement that leaves all of it behind, or nothing."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any
from uuid import UUID

import asyncpg

from libs.eventsourcing import statements
from libs.eventsourcing.plan import Append, Head, Known, LogPosition, Plan, Request, plan
from libs.eventsourcing.rows import columns


class Conflict(Exception):
    """Another writer changed what the plan assumed. Nothing was written."""


async def insert(connection: Any, planned: Plan) -> dict[UUID, LogPosition]:
    """Insert the rows of a plan; the position of each inserted event. Raises Conflict."""
    if not planned.rows:
        return {}
    if not planned.required:
        return _inserted(await connection.fetch(statements.INSERT, *columns(planned.rows)))
    tenants, streams = [tenant for tenant, _ in planned.bases], [at for _, at in planned.bases]
    bases = (tenants, streams, [*planned.bases.values()])
    required = (list(planned.bound), len(planned.required))
    # In a transaction of somebody else's only a savepoint survives the error.
    saved = connection.transaction() if connection.is_in_transaction() else nullcontext()
    try:
        async with saved:
            rows = await connection.fetch(
                statements.APPEND, *columns(planned.rows), *bases, *required
            )
    except asyncpg.DivisionByZeroError as error:
        raise Conflict from error
    if not rows:
        raise Conflict
    return _inserted(rows)


async def plan_from_committed(connection: Any, requests: Sequence[Request]) -> Plan:
    """The plan after reading the committed versions and ids, when the optimistic plan failed."""
    appends = [request for request in requests if isinstance(request, Append)]
    heads = list({request.head for request in appends})
    ids = [each.event_id for request in appends for each in (*request.events, *request.facts)]
    versions: dict[Head, int] = {}
    known: dict[UUID, Known] = {}
    tenants, streams = [tenant for tenant, _ in heads], [stream for _, stream in heads]
    rows = await connection.fetch(statements.COMMITTED_STATE, tenants, streams, ids)
    for event_id, tenant, stream, version, xid, position, _ in rows:
        if event_id is None:
            versions[tenant, stream] = version
        else:
            known[event_id] = Known((tenant, stream), version, (xid, position))
    return plan(requests, versions, known)


async def positions(connection: Any, event_ids: set[UUID]) -> tuple[dict[UUID, LogPosition], int]:
    """Where events are that are in the log, and a transaction later than all that wrote them."""
    rows = await connection.fetch(statements.KNOWN, list(event_ids)) if event_ids else []
    return _inserted(rows), (rows[0]["later"] if rows else 0)


def _inserted(rows: Sequence[asyncpg.Record]) -> dict[UUID, LogPosition]:
    return {row["event_id"]: (row["xid"], row["position"]) for row in rows}
