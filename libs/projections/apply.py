"""Applying one page of the log in one transaction: read models and their checkpoint move together.

Nearly always a whole page can be applied, so the first attempt uses no savepoints. If a read model
fails, the page is applied again with a savepoint for each read model, which shows the one at fault,
and that one's events are bisected until the failing event is known. Its stream is parked.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeAlias, TypeVar

import asyncpg

from libs.eventsourcing.postgres import LOST
from libs.eventsourcing.tail import Cursor, Page
from libs.failpoints import failpoint
from libs.postgres.error_text import error_text
from libs.projections import checkpoints
from libs.projections.checkpoints import Checkpoint, Overtaken
from libs.projections.page_slices import Decoded, PageSlice, envelopes_of, of_shard, slices_of
from libs.projections.projection import Projection
from libs.projections.shards import StreamKey

Event = TypeVar("Event")

TIMED_OUT: Final = (asyncpg.QueryCanceledError, TimeoutError)
TRANSIENT: Final = (
    *LOST,
    Overtaken,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,
)
"""Errors that no event and no read model causes: the page is retried after a while."""

MAX_PARKED: Final = 200
"""How many streams of a read model may be parked at a time."""


class ModelFailed(Exception):
    """A read model fails whatever the event: its tables do not fit, or too many streams fail."""

    def __init__(self, model: str, error: Exception) -> None:
        super().__init__(error_text(error))
        self.model = model


class ModelTimedOut(ModelFailed):
    """A read model took longer for the page than a statement may take."""


class _NeedsSavepoint(Exception):
    """A read model failed in an attempt without savepoints."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The first event of a stream that a read model could not apply; `reason` is a stable word."""

    stream: StreamKey
    position: int
    reason: str
    error: str


Failures: TypeAlias = Mapping[str, Sequence[Failure]]
"""The failures of each read model that has any."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The checkpoint after a page, the number of events that each read model was given, and the
    streams that were parked.
    """

    checkpoint: Checkpoint
    given: Mapping[str, int]
    failures: Failures


async def apply_page(
    connection: Any,
    models: Sequence[Projection[Any]],
    checkpoint: Checkpoint,
    page: Page,
    *,
    search_path: str | None = None,
    state: str = "live",
    service: str,
) -> Applied:
    """Apply a page to the read models at `checkpoint` and move it, in one transaction.

    `search_path` names the schemas of a version that is not live. Raises TRANSIENT (nothing was
    written, retry), ModelFailed and ModelTimedOut (nothing was written; without that read model the
    page can be applied).
    """
    slices = slices_of(models, page.events, service)
    if checkpoint.shard.count > 1:
        slices = {m.name: of_shard(m, slices[m.name], checkpoint.shard) for m in models}
    transaction = _PageTransaction(connection, models, checkpoint, page, slices, search_path, state)
    try:
        outcome = await transaction.run(savepoints=False)
    except (*TRANSIENT, ModelFailed):
        raise
    except Exception:  # noqa: BLE001 -- a projection may fail in any way it likes
        outcome = None
    moved, failures = outcome or await transaction.run(savepoints=True)
    failpoint("batch-committed")
    given = {model: len(part.events) for model, part in slices.items()}
    return Applied(_with_parked(moved, failures), given, failures)


@dataclass(frozen=True, slots=True)
class _PageTransaction:
    """The transaction that applies a page and moves the checkpoint."""

    connection: Any
    models: Sequence[Projection[Any]]
    checkpoint: Checkpoint
    page: Page
    slices: Mapping[str, PageSlice[Any]]
    search_path: str | None
    state: str

    async def run(self, *, savepoints: bool) -> tuple[Checkpoint, Failures]:
        """The moved checkpoint, and what failed, which is parked."""
        for part in self.slices.values():
            part.selected.clear()
        async with self.connection.transaction():
            failpoint("batch-projecting")
            # First: it locks the row, and raises Overtaken if the page is not ours to apply.
            moved = await checkpoints.advance(self.connection, self.checkpoint, self.page.cursor)
            failpoint("batch-advanced")
            if self.search_path:
                await self.connection.execute(f"SET LOCAL search_path = {self.search_path}")
            failures: dict[str, Sequence[Failure]] = {}
            for model in self.models:
                if failed := await self._apply(model, savepoints):
                    failures[model.name] = failed
            await _park(self.connection, failures, self.state, self.page.cursor)
            failpoint("batch-committing")
        return moved, failures

    async def _apply(self, model: Projection[Any], savepoints: bool) -> Sequence[Failure]:
        return await apply_to(
            self.connection,
            model,
            self.slices[model.name],
            parked=self.checkpoint.parked.get(model.name, frozenset()),
            savepoints=savepoints,
        )


async def apply_to(
    connection: Any,
    model: Projection[Event],
    part: PageSlice[Event],
    *,
    parked: frozenset[StreamKey] = frozenset(),
    savepoints: bool,
) -> list[Failure]:
    """Apply the events to a read model; the first failure of each stream that cannot be applied.

    Streams that are `parked` are left out. Without `savepoints` the first error of the read model
    aborts the transaction. Raises TRANSIENT, ModelFailed.
    """
    unreadable: dict[StreamKey, Failure] = {}
    applicable = part.events
    if parked or not part.readable:
        applicable, unreadable = _applicable(part.events, parked)
    attempt = _Attempt(connection, model, part, savepoints, MAX_PARKED - len(parked))
    await attempt.run(applicable)
    # Within a stream, the events that were tried come before the one that cannot be decoded.
    attempt.failures = unreadable | attempt.failures
    attempt.check()
    return list(attempt.failures.values())


def _applicable(
    events: Sequence[Decoded[Event]], parked: frozenset[StreamKey]
) -> tuple[Sequence[Decoded[Event]], dict[StreamKey, Failure]]:
    """The events before the first unreadable one of their stream, and these failures."""
    unreadable: dict[StreamKey, Failure] = {}
    applicable: list[Decoded[Event]] = []
    for event in events:
        if event.stream in parked or event.stream in unreadable:
            continue
        if event.envelope is None:
            unreadable[event.stream] = _failure(event, event.reason, event.error)
        else:
            applicable.append(event)
    return applicable, unreadable


def _failure(event: Decoded[Any], reason: str, error: str) -> Failure:
    return Failure(event.stream, event.recorded.position, reason, error)


@dataclass(slots=True)
class _Attempt(Generic[Event]):
    """Applies events to a read model, and finds the failing ones by bisection with savepoints."""

    connection: Any
    model: Projection[Event]
    part: PageSlice[Event]
    savepoints: bool
    max_failures: int
    failures: dict[StreamKey, Failure] = field(default_factory=dict)

    def check(self) -> None:
        """Raise ModelFailed if more than `max_failures` streams fail."""
        if self.failures and len(self.failures) > self.max_failures:
            last = next(reversed(self.failures.values()))
            error = RuntimeError(f"hardly anything applies: {last.error}")
            raise ModelFailed(self.model.name, error)

    async def run(self, events: Sequence[Decoded[Event]]) -> None:
        """Apply the events whose streams have not failed."""
        remaining = events
        if self.failures:
            remaining = [event for event in events if event.stream not in self.failures]
        if not remaining:
            return
        error = await self._try(remaining)
        if error is None:
            return
        if len(remaining) == 1:
            failure = _failure(remaining[0], "failed", error_text(error))
            self.failures[remaining[0].stream] = failure
            self.check()
            return
        await self.run(remaining[: len(remaining) // 2])
        await self.run(remaining[len(remaining) // 2 :])

    async def _try(self, events: Sequence[Decoded[Event]]) -> Exception | None:
        savepoint = self.connection.transaction() if self.savepoints else nullcontext()
        try:
            async with savepoint:
                if events is self.part.events:
                    await self.part.apply_all(self.connection, self.model)
                else:
                    await self.model.apply(self.connection, envelopes_of(events))
                if self.savepoints:
                    # Deferred constraints, and errors that the projection swallowed, fail here.
                    await self.connection.execute(_CHECK)
        except Exception as error:  # noqa: BLE001 -- a projection may fail in any way it likes
            return self._attributed_to_event(error)
        return None

    def _attributed_to_event(self, error: Exception) -> Exception:
        """The error, if an event may have caused it; otherwise raises it as what it is."""
        timed_out = isinstance(error, TIMED_OUT)
        # With a working connection these come from the projection's own code: a wrong call, a file.
        own = isinstance(error, asyncpg.InterfaceError | OSError)
        if _is_lost(self.connection) or (isinstance(error, TRANSIENT) and not own | timed_out):
            raise error
        if not self.savepoints:
            raise _NeedsSavepoint from error
        if timed_out:
            raise ModelTimedOut(self.model.name, error) from error
        if isinstance(error, asyncpg.SyntaxOrAccessError):
            raise ModelFailed(self.model.name, error) from error
        return error


_CHECK: Final = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"


def _is_lost(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # the pool has taken it back
        return True


_PARK: Final = """
INSERT INTO parked_events
    (projection, state, tenant, stream, first_position, reason, error, published, target)
SELECT *, $8::text::pg_snapshot, $9::text::pg_snapshot
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[])
ON CONFLICT DO NOTHING
"""


async def _park(connection: Any, failures: Failures, state: str, cursor: Cursor) -> None:
    """Record where each stream failed, in the page that ends at `cursor`."""
    rows = [
        (model, state, *one.stream, one.position, one.reason, truncated_error(one.error))
        for model, failed in failures.items()
        for one in failed
    ]
    if rows:
        moments = str(cursor.published), str(cursor.target)
        await connection.execute(_PARK, *zip(*rows, strict=True), *moments)


def truncated_error(error: str) -> str:
    """The first 500 characters of a message, without characters that Postgres does not store."""
    return error[:500].replace("\0", "").encode(errors="replace").decode()


def _with_parked(checkpoint: Checkpoint, failures: Failures) -> Checkpoint:
    if not failures:
        return checkpoint
    parked = dict(checkpoint.parked)
    for model, failed in failures.items():
        parked[model] = parked.get(model, frozenset()) | {one.stream for one in failed}
    return replace(checkpoint, parked=parked)


async def park_stream(
    connection: Any, checkpoint: Checkpoint, model: str, page: Page, error: str
) -> None:
    """Park the stream of a page's only event, for which a live read model took too long.

    The checkpoint does not move. Raises Overtaken.
    """
    (event,) = page.events
    stream = event.metadata.tenant, event.stream
    async with connection.transaction():
        await checkpoints.advance(connection, checkpoint, checkpoint.cursor)
        failure = Failure(stream, event.position, "timed out", error)
        await _park(connection, {model: [failure]}, "live", page.cursor)
