"""One page of the log, one transaction: read models and their checkpoint move together.

Nearly always all of a page can be applied, so the first attempt prepares for nothing else. If a
read model fails, the transaction begins anew with a savepoint for each model, which says whose
fault it is, and the model's page is halved until the event is found.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

import asyncpg

from contracts.envelope import Envelope
from libs.eventsourcing.codec import Codec, UndecodableEvent, UnknownEvent
from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.postgres import LOST
from libs.eventsourcing.store import envelope
from libs.eventsourcing.tail import Cursor, Page
from libs.failpoints import reach
from libs.projections import checkpoints
from libs.projections.checkpoints import Checkpoint, Overtaken
from libs.projections.projection import Projection, Select
from libs.projections.shards import Share, StreamKey

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
"""Errors that say nothing about events or read models: the page is tried again after a while."""

MOST_PARKED: Final = 200
"""How many streams of a read model may be parked at a time."""


class ModelFailed(Exception):
    """A read model fails as such, whatever the event: its tables do not fit, or all fails."""

    def __init__(self, model: str, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.model = model


class ModelTimedOut(ModelFailed):
    """A read model was not done with the page in the time a statement may take."""


class _Unprepared(Exception):
    """A read model failed without a savepoint."""


@dataclass(slots=True)
class Decoded(Generic[Event]):
    """An event of the log, and it as its class or why it has none."""

    recorded: RecordedEvent
    envelope: Envelope[Event] | None
    reason: str = ""
    error: str = ""

    @property
    def stream(self) -> StreamKey:
        return self.recorded.metadata.tenant, self.recorded.stream

    def failure(self, reason: str, error: str) -> "Failure":
        """That its stream stops here."""
        return Failure(self.stream, self.recorded.position, reason, error)


class Part(Generic[Event]):
    """The events of a page for read models that share codec and categories."""

    def __init__(self, events: Sequence[Decoded[Event]]) -> None:
        self.events = events
        self.envelopes = _envelopes(events)
        self.readable = len(self.envelopes) == len(events)
        self.selected: dict[Select[Event], Sequence[Envelope[Event]]] = {}
        """What was selected of all of them, valid in one transaction."""

    async def apply_all(self, connection: Any, model: Projection[Event]) -> None:
        """Apply what the read model selects of all the events, which must be readable."""
        if model.select is None:
            events: Sequence[Envelope[Event]] = self.envelopes
        else:
            if model.select not in self.selected:
                self.selected[model.select] = await model.select(connection, self.envelopes)
            events = self.selected[model.select]
        if events:
            await model.project(connection, events)


def _envelopes(events: Sequence[Decoded[Event]]) -> Sequence[Envelope[Event]]:
    return [one.envelope for one in events if one.envelope is not None]


@dataclass(frozen=True, slots=True)
class Failure:
    """The first event of a stream that a read model could not apply; `reason` is a stable word."""

    stream: StreamKey
    position: int
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Applied:
    """The checkpoint behind a page; by read model how many of its events it was given, and the
    streams that were parked on the way.
    """

    checkpoint: Checkpoint
    given: Mapping[str, int]
    failures: Mapping[str, Sequence[Failure]]


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

    `search_path` names the schemas of a version that is not live. Raises what is in TRANSIENT
    (nothing happened, try again), ModelFailed and ModelTimedOut (nothing happened; without that
    model it would).
    """
    parts = _parts_for(models, page.events, service)
    if checkpoint.share.of > 1:
        parts = {m.name: _shared(m, parts[m.name], checkpoint.share) for m in models}
    for careful in (False, True):
        for part in parts.values():
            part.selected.clear()
        try:
            async with connection.transaction():
                reach("batch-projecting")
                # First of all: it holds the row, and tells whether the page is ours to apply.
                moved = await checkpoints.advance(connection, checkpoint, page.cursor)
                reach("batch-advanced")
                if search_path:
                    await connection.execute(f"SET LOCAL search_path = {search_path}")
                failures = {
                    model.name: found
                    for model in models
                    if (
                        found := await apply_to(
                            connection,
                            model,
                            parts[model.name],
                            parked=checkpoint.parked.get(model.name, frozenset()),
                            careful=careful,
                        )
                    )
                }
                await _park(connection, failures, state, page.cursor)
                reach("batch-committing")
        except (*TRANSIENT, ModelFailed):
            raise
        except Exception:
            if careful:
                raise
            continue
        reach("batch-committed")
        given = {model: len(part.events) for model, part in parts.items()}
        return Applied(_with_parked(moved, failures), given, failures)
    raise AssertionError("the careful attempt raises what it cannot do")


def decode_page(codec: Codec[Event], events: Sequence[RecordedEvent]) -> Part[Event]:
    """Every event as its class, once for all read models that share the codec."""
    return Part([_decode(codec, recorded) for recorded in events])


async def apply_to(
    connection: Any,
    model: Projection[Event],
    part: Part[Event],
    *,
    parked: frozenset[StreamKey] = frozenset(),
    careful: bool,
) -> list[Failure]:
    """Apply what can be applied; the first failure of each stream that cannot.

    Streams that are `parked` wait. Only if `careful` are savepoints made: else the first error of
    the read model ends everything. Raises TRANSIENT, ModelFailed.
    """
    unreadable: dict[StreamKey, Failure] = {}
    free = part.events
    if parked or not part.readable:
        free, unreadable = _sorted_out(part.events, parked)
    attempt = _Attempt(connection, model, part, careful, MOST_PARKED - len(parked))
    await attempt.run(free)
    # Of one stream the events that were tried come before the one that cannot be read.
    attempt.failures = unreadable | attempt.failures
    attempt.check()
    return list(attempt.failures.values())


def _sorted_out(
    events: Sequence[Decoded[Event]], parked: frozenset[StreamKey]
) -> tuple[Sequence[Decoded[Event]], dict[StreamKey, Failure]]:
    """The events that can be tried, and where streams stop at one that cannot be read."""
    unreadable: dict[StreamKey, Failure] = {}
    free: list[Decoded[Event]] = []
    for one in events:
        if one.stream in parked or one.stream in unreadable:
            continue
        if one.envelope is None:
            unreadable[one.stream] = one.failure(one.reason, one.error)
        else:
            free.append(one)
    return free, unreadable


@dataclass(slots=True)
class _Attempt(Generic[Event]):
    """Applies events, and finds those that cannot be by halving, each try in a savepoint."""

    connection: Any
    model: Projection[Event]
    part: Part[Event]
    careful: bool
    bearable: int
    failures: dict[StreamKey, Failure] = field(default_factory=dict)

    def check(self) -> None:
        """Raise ModelFailed if more streams fail than are bearable."""
        if self.failures and len(self.failures) > self.bearable:
            last = next(reversed(self.failures.values()))
            error = RuntimeError(f"hardly anything applies: {last.error}")
            raise ModelFailed(self.model.name, error)

    async def run(self, events: Sequence[Decoded[Event]]) -> None:
        free = events
        if self.failures:
            free = [one for one in events if one.stream not in self.failures]
        if not free:
            return
        error = await self._try(free)
        if error is None:
            return
        if len(free) == 1:
            failure = free[0].failure("failed", f"{type(error).__name__}: {error}")
            self.failures[free[0].stream] = failure
            self.check()
            return
        await self.run(free[: len(free) // 2])
        await self.run(free[len(free) // 2 :])

    async def _try(self, events: Sequence[Decoded[Event]]) -> Exception | None:
        savepoint = self.connection.transaction() if self.careful else nullcontext()
        try:
            async with savepoint:
                if events is self.part.events:
                    await self.part.apply_all(self.connection, self.model)
                else:
                    await self.model.apply(self.connection, _envelopes(events))
                if self.careful:
                    # What was put off until the commit, or caught after it failed, comes out here.
                    await self.connection.execute(_CHECK)
        except Exception as error:  # noqa: BLE001 -- a projection may fail in any way it likes
            return self._of_an_event(error)
        return None

    def _of_an_event(self, error: Exception) -> Exception:
        """The error, if an event may be its cause; else it is raised as what it is."""
        timed_out = isinstance(error, TIMED_OUT)
        # While the connection works they are the projection's own: a call it got wrong, a file.
        own = isinstance(error, asyncpg.InterfaceError | OSError)
        if _is_lost(self.connection) or (isinstance(error, TRANSIENT) and not own | timed_out):
            raise error
        if not self.careful:
            raise _Unprepared from error
        if timed_out:
            raise ModelTimedOut(self.model.name, error) from error
        if isinstance(error, asyncpg.SyntaxOrAccessError):
            raise ModelFailed(self.model.name, error) from error
        return error


_CHECK: Final = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"


def _is_lost(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # the pool has it back already
        return True


def _parts_for(
    models: Sequence[Projection[Any]], events: Sequence[RecordedEvent], service: str
) -> dict[str, Part[Any]]:
    """For each read model the events of its categories."""
    kinds = [event.stream.partition("-")[0] for event in events]
    names = {kind: f"{service}.{kind}" for kind in set(kinds)}
    categories = [names[kind] for kind in kinds]
    present, by_codec = set(categories), {}
    chosen: dict[tuple[int, frozenset[str]], Part[Any]] = {}
    for model in models:
        key = id(model.codec)
        if key not in by_codec:
            by_codec[key] = decode_page(model.codec, events)
        wanted = frozenset(model.topics) & present
        if (key, wanted) not in chosen:
            pairs = zip(categories, by_codec[key].events, strict=True)
            chosen[key, wanted] = (
                by_codec[key]
                if wanted == present
                else Part([one for category, one in pairs if category in wanted])
            )
    return {m.name: chosen[id(m.codec), frozenset(m.topics) & present] for m in models}


def _shared(model: Projection[Any], part: Part[Any], share: Share) -> Part[Any]:
    """What the read model gets from this shard."""
    if not share.serves(model):
        return Part([])
    if model.shard_key is None:
        return part
    return Part([one for one in part.events if share.has(model, one.stream)])


def _decode(codec: Codec[Event], recorded: RecordedEvent) -> Decoded[Event]:
    try:
        event = codec.decode(recorded.type, recorded.schema_version, recorded.data)
    except UnknownEvent as error:
        return Decoded(recorded, None, "unknown", str(error))
    except UndecodableEvent as error:
        return Decoded(recorded, None, "undecodable", str(error))
    return Decoded(recorded, envelope(recorded, event))


_PARK: Final = """
INSERT INTO parked_events
    (projection, state, tenant, stream, first_position, reason, error, published, target)
SELECT *, $8::text::pg_snapshot, $9::text::pg_snapshot
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[])
ON CONFLICT DO NOTHING
"""


async def _park(
    connection: Any, failures: Mapping[str, Sequence[Failure]], state: str, cursor: Cursor
) -> None:
    """Write down where each stream stopped, in the page that ends at `cursor`."""
    rows = [
        (model, state, *one.stream, one.position, one.reason, truncated_error(one.error))
        for model, found in failures.items()
        for one in found
    ]
    if rows:
        moments = str(cursor.published), str(cursor.target)
        await connection.execute(_PARK, *zip(*rows, strict=True), *moments)


def truncated_error(error: str) -> str:
    """As much of a message as is kept; what Postgres does not take is replaced."""
    return error[:500].replace("\0", "").encode(errors="replace").decode()


def _with_parked(checkpoint: Checkpoint, failures: Mapping[str, Sequence[Failure]]) -> Checkpoint:
    if not failures:
        return checkpoint
    parked = dict(checkpoint.parked)
    for model, found in failures.items():
        parked[model] = parked.get(model, frozenset()) | {one.stream for one in found}
    return replace(checkpoint, parked=parked)


async def park_stream(
    connection: Any, checkpoint: Checkpoint, model: str, page: Page, error: str
) -> None:
    """Park the stream of a page's one event, that a live read model was not done with in time.

    The checkpoint stays where it is. Raises Overtaken.
    """
    (event,) = page.events
    stream = event.metadata.tenant, event.stream
    async with connection.transaction():
        await checkpoints.advance(connection, checkpoint, checkpoint.cursor)
        failure = Failure(stream, event.position, "timed out", error)
        await _park(connection, {model: [failure]}, "live", page.cursor)
