"""Which tasks are there? Their tables, and how events change them.

A row holds the state of its task as the domain knows it, with sealed texts; the other columns are
for filters and for what is in the clear.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.personal import personal
from libs.postgres.upsert import put_all, upsert
from libs.projections.projection import Connection, Projection, by_stream
from libs.security.data_keys import Subject, text_of
from libs.security.vault import VaultReader
from services.shop.orders.domain.contact import subject_id
from services.shop.production.domain.task import Priority, Task, evolve

PERSON: Final = personal(of="subject")
TASK: Final = Table(
    "florist_task",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("task_id", BigInteger, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("order_id", BigInteger, nullable=False),
    Column("task_type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("florist", BigInteger),
    Column("estimated_minutes", Integer, nullable=False),
    Column("actual_minutes", Integer),
    Column("quality_score", Integer),
    Column("deadline", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("assigned_at", DateTime(timezone=True)),
    Column("started_at", DateTime(timezone=True)),
    Column("completed_at", DateTime(timezone=True)),
    Column("state", JSONB, nullable=False),
    Column("instructions", Text, info=PERSON),
    Column("florist_notes", Text, info=PERSON),
    Column("quality_notes", Text, info=PERSON),
)
"""`rank` is the place of the priority in the queue, 0 for urgent."""
ITEM: Final = Table(
    "florist_task_item",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("item_id", BigInteger, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("task_id", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("order_item_id", BigInteger, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("is_completed", Boolean, nullable=False),
    Column("completed_at", DateTime(timezone=True)),
    Column("quality_approved", Boolean),
    Column("quality_notes", Text, info=PERSON),
)
TABLES: Final = (TASK, ITEM)
SAVE_TASK: Final = upsert(TASK, newer="version")
SAVE_ITEM: Final = upsert(ITEM, newer="version")
TEXTS: Final = ("instructions", "florist_notes", "quality_notes")
RANK: Final = {priority: rank for rank, priority in enumerate(Priority)}

Key: TypeAlias = tuple[str, int]


def projection(reader: VaultReader) -> Projection[ShopEvent]:
    """The projection, which opens sealed texts with `reader`."""
    return Projection(
        name="task",
        tables=tuple(table.name for table in TABLES),
        topics=(shop.TASKS,),
        codec=codec_of(shop.EVENTS),
        project=partial(project, reader=reader),
        shard_key=by_stream,
    )


async def project(
    connection: Connection, events: Sequence[Envelope[ShopEvent]], *, reader: VaultReader
) -> None:
    """Fold the events of a page into the states of their tasks, and write the rows."""
    mine = [one for one in events if isinstance(one.event, shop.TaskEvent)]
    states = await _states(connection, {(one.tenant, _task_id(one)) for one in mine})
    for envelope in mine:
        key, version = (envelope.tenant, _task_id(envelope)), envelope.version or 0
        task, known = states.get(key, (Task(), 0))
        if version > known:
            states[key] = evolve(task, envelope.event), version
    texts = await _open(connection, states, reader)
    changes: list[Any] = []
    for key, (task, version) in states.items():
        common = {"tenant": key[0], "version": version, "subject": subject_id(task.order_id)}
        changes.append((SAVE_TASK, common | _row(task, texts)))
        changes += [(SAVE_ITEM, common | row) for row in _item_rows(task, texts)]
    await put_all(connection, changes)


def _task_id(envelope: Envelope[Any]) -> int:
    number: int = envelope.event.task_id
    return number


async def _states(connection: Connection, keys: set[Key]) -> dict[Key, tuple[Task, int]]:
    if not keys:
        return {}
    statement = select(TASK.c.tenant, TASK.c.task_id, TASK.c.version, TASK.c.state).where(
        tuple_(TASK.c.tenant, TASK.c.task_id).in_(sorted(keys))
    )
    rows = await query.fetch(connection, statement)
    return {(row["tenant"], row["task_id"]): (state_of(row), row["version"]) for row in rows}


def state_of(row: query.Row) -> Task:
    """The state of a task, with sealed texts."""
    return msgspec.json.decode(row["state"], type=Task)


async def _open(
    connection: Connection, states: Mapping[Key, tuple[Task, int]], reader: VaultReader
) -> Mapping[str, str | None]:
    """The clear text of each sealed one, with one query for all keys; None if it is erased."""
    sealed = [
        (Subject(tenant, subject_id(task.order_id)), text)
        for (tenant, _), (task, _) in states.items()
        for text in _sealed_of(task)
    ]
    opened = await reader.open_many(connection, sealed)
    return {text: text_of(one) for (_, text), one in zip(sealed, opened, strict=True)}


def _sealed_of(task: Task) -> Iterable[str]:
    texts = [getattr(task.details, name) for name in TEXTS]
    texts += [item.quality_notes for item in task.items]
    return [text for text in texts if text is not None]


def _row(task: Task, texts: Mapping[str, str | None]) -> dict[str, Any]:
    details = task.present
    row = query.values_for(TASK, task, **query.values_for(TASK, details))
    return row | {
        "state": msgspec.json.encode(task).decode(),
        "rank": RANK[Priority(details.priority)],
        **{name: texts.get(getattr(details, name) or "") for name in TEXTS},
    }


def _item_rows(task: Task, texts: Mapping[str, str | None]) -> Iterable[dict[str, Any]]:
    for item in task.items:
        notes = texts.get(item.quality_notes or "")
        yield query.values_for(ITEM, item, task_id=task.task_id, quality_notes=notes)
