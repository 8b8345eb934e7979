"""The catalogue of a scale: loaded from the log, changed, and saved as a snapshot.

A change is appended at the version it was decided on, or decided again: concurrent edits of
different products all survive, in any number of processes (R9).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Final, TypeAlias
from uuid import UUID

import structlog

from contracts.scale_bridge import (
    CatalogueFetched,
    CatalogueReverted,
    DeviceId,
    OperationId,
    ScaleBridgeEvent,
)
from libs.errors import NotFound, Unavailable
from libs.eventsourcing.log import Metadata, VersionConflict
from services.scale_bridge.catalogue.domain.catalogue import (
    Catalogue,
    CatalogueCommand,
    DropMessage,
    Edit,
    Revert,
    SetMessage,
    TakeFetched,
    evolve,
)
from services.scale_bridge.catalogue.domain.decisions import CATEGORY, RevisionUnknown, decide
from services.scale_bridge.catalogue.domain.fetched import CHANGES, EditedMeanwhile
from services.scale_bridge.catalogue.domain.product import BadFields
from services.scale_bridge.catalogue.stores import catalogue_snapshots, document_store
from services.scale_bridge.catalogue.stores.cache import Loaded
from services.scale_bridge.catalogue.stores.catalogue_snapshots import Snapshot
from services.scale_bridge.context import Context
from services.scale_bridge.driver.domain.document import Document

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 200
SNAPSHOT_EVENTS: Final = 50
"""After so many events a snapshot is saved, so that about as many are folded at most."""

EVENTS_PER_REVISION: Final = 4
"""So many events per revision are read at first: some events make no revision."""
FEW: Final = 20
TOGETHER: Final = 200
"""More than `FEW` changes are appended in batches of this size."""

CommandFactory: TypeAlias = Callable[[Catalogue], Awaitable[CatalogueCommand]]
"""Builds a command for the catalogue it will be decided on."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The catalogue after a command, the events, and a consistency token, None without events."""

    catalogue: Catalogue
    events: Sequence[ScaleBridgeEvent]
    token: str | None


async def load(context: Context, tenant: str, device_id: DeviceId) -> Loaded:
    """The current catalogue. Raises Unavailable, LogUnavailable."""
    known = context.catalogues.get(tenant, device_id)
    known = known or await _load_snapshot(context, tenant, device_id)
    loaded = await _fold(context, tenant, device_id, known)
    context.catalogues.put(tenant, device_id, loaded)
    return loaded


async def change(
    context: Context,
    device_id: DeviceId,
    command: CatalogueCommand | CommandFactory,
    metadata: Metadata,
    *,
    command_id: UUID | None = None,
) -> Changed:
    """Change a catalogue. With a `command_id` it is safe to repeat.

    Raises what `decide` raises, Unavailable, LogUnavailable.
    """
    tenant = metadata.tenant
    async with context.catalogues.lock(tenant, device_id):
        for _ in range(ATTEMPTS):
            # Before the load: a fetch that ends later makes another version, hence a conflict.
            reading = await context.hooks.pending_fetches(context, tenant, device_id)
            loaded = await load(context, tenant, device_id)
            stream = f"{CATEGORY}-{device_id}"
            if command_id and (done := await context.store.outcome_of(command_id, tenant, stream)):
                return Changed(loaded.catalogue, [], done.token)
            built = await command(loaded.catalogue) if callable(command) else command
            built = _mark_being_read(built, reading)
            try:
                return await _execute(context, device_id, loaded, built, metadata, command_id)
            except VersionConflict:
                continue
    raise Unavailable("catalogue")


def _mark_being_read(
    command: CatalogueCommand, reading: frozenset[OperationId]
) -> CatalogueCommand:
    """The command with `being_read`, whether other operations read the scale now."""
    match command:
        case TakeFetched():
            return replace(command, being_read=bool(reading - {command.operation_id}))
        case Edit() | SetMessage() | DropMessage() | Revert():
            return replace(command, being_read=bool(reading))
        case _:
            return command


async def changes_after(
    context: Context, tenant: str, device_id: DeviceId, revision: int | None
) -> Sequence[ScaleBridgeEvent]:
    """The events after a revision, oldest first.

    Nothing if there is no such revision. Raises Unavailable, LogUnavailable.
    """
    loaded = await load(context, tenant, device_id)
    newer = loaded.catalogue.revision - revision if revision is not None else 0
    number = EVENTS_PER_REVISION * newer
    while newer > 0:
        after = max(0, loaded.version - number)
        recorded = await context.store.log.read(tenant, f"{CATEGORY}-{device_id}", after=after)
        events = [context.store.decode(one) for one in recorded]
        positions = [n for n, e in enumerate(events) if _revision(e) > (revision or 0)]
        if not after or (positions and any(_revision(e) for e in events[: positions[0]])):
            return events[positions[0] :] if positions else ()
        number *= EVENTS_PER_REVISION
    return ()


def _revision(event: ScaleBridgeEvent) -> int:
    """The revision that an event makes, 0 if it makes none."""
    return event.revision if isinstance(event, CHANGES) else 0


async def change_each(
    context: Context,
    device_id: DeviceId,
    commands: Sequence[tuple[CatalogueCommand, Metadata]],
    *,
    many: Metadata,
    seen: int,
) -> Catalogue:
    """Execute several commands on a catalogue; one that is refused is logged and left out.

    All are of one tenant, and decided for the revision `seen`. A few are appended one by one, with
    their own metadata; more than `FEW` are appended together, with the metadata `many`. Commands
    that make no difference append nothing. Raises EditedMeanwhile if there is another revision by
    now, after which some of the commands may have been executed; Unavailable, LogUnavailable.
    """
    at_once = 1 if len(commands) <= FEW else TOGETHER
    async with context.catalogues.lock(many.tenant, device_id):
        for start in range(0, len(commands), at_once):
            some = commands[start : start + at_once]
            metadata = some[0][1] if at_once == 1 else many
            batch = [command for command, _ in some]
            seen = await _change_together(context, device_id, batch, metadata, seen)
        return (await load(context, many.tenant, device_id)).catalogue


async def _change_together(
    context: Context,
    device_id: DeviceId,
    commands: Sequence[CatalogueCommand],
    metadata: Metadata,
    seen: int,
) -> int:
    """The revision after the commands, which are appended at once to the revision `seen`."""
    for _ in range(ATTEMPTS):
        loaded = await load(context, metadata.tenant, device_id)
        if loaded.catalogue.revision != seen:
            raise EditedMeanwhile
        catalogue, events = loaded.catalogue, list[ScaleBridgeEvent]()
        for command in commands:
            try:
                decided = decide(catalogue, command)
            except (NotFound, BadFields) as error:
                log.warning("not changed", device=str(device_id), reason=str(error))
                continue
            catalogue, events = reduce(evolve, decided, catalogue), [*events, *decided]
            # On a large catalogue a decision takes milliseconds; other tasks must run too.
            await asyncio.sleep(0)
        try:
            await _append(context, device_id, loaded, catalogue, events, metadata)
        except VersionConflict:
            continue
        return catalogue.revision
    raise Unavailable("catalogue")


async def at_revision(
    context: Context, tenant: str, device_id: DeviceId, revision: int
) -> Document:
    """The document of a revision. Raises RevisionUnknown if it is not stored any more."""
    now = (await load(context, tenant, device_id)).catalogue
    if not 1 <= revision <= now.revision:
        # Before a query: the column may not hold such a number.
        raise RevisionUnknown
    if revision == now.revision and now.document is not None:
        return now.document
    known = await _load_snapshot(context, tenant, device_id, up_to=revision)
    then = (await _fold(context, tenant, device_id, known, up_to=revision)).catalogue
    if then.revision != revision or then.document is None:
        raise RevisionUnknown
    return then.document


async def _execute(
    context: Context,
    device_id: DeviceId,
    loaded: Loaded,
    command: CatalogueCommand,
    metadata: Metadata,
    command_id: UUID | None = None,
) -> Changed:
    events = decide(loaded.catalogue, command)
    named: dict[str, Document] = {}
    if isinstance(command, TakeFetched | Revert):
        named = {command.content: command.document}
    catalogue = reduce(partial(_evolve, named), events, loaded.catalogue)
    token = await _append(
        context, device_id, loaded, catalogue, events, metadata, command_id, named
    )
    return Changed(catalogue, events, token)


async def _append(
    context: Context,
    device_id: DeviceId,
    loaded: Loaded,
    catalogue: Catalogue,
    events: Sequence[ScaleBridgeEvent],
    metadata: Metadata,
    command_id: UUID | None = None,
    whole: Mapping[str, Document] | None = None,
) -> str | None:
    """Append the events that led from `loaded` to `catalogue`; a consistency token.

    `whole` are the documents that the events name by MD5. Raises VersionConflict.
    """
    if not events:
        return None
    appended = await context.store.append(
        f"{CATEGORY}-{device_id}",
        events,
        expected=loaded.version,
        metadata=metadata,
        command_id=command_id,
    )
    if appended.version != loaded.version + len(events):
        # The same command was executed concurrently; the other execution counts.
        raise VersionConflict
    after = Loaded(catalogue, appended.version, loaded.since_snapshot + len(events))
    after = await _save(context, metadata.tenant, device_id, after, whole=whole or {})
    context.catalogues.put(metadata.tenant, device_id, after)
    return appended.token


async def _save(
    context: Context,
    tenant: str,
    device_id: DeviceId,
    loaded: Loaded,
    *,
    whole: Mapping[str, Document],
) -> Loaded:
    """Save a snapshot if one is due; a failure is logged, since the log has all events."""
    document = loaded.catalogue.document
    if document is None or not (whole or loaded.since_snapshot >= SNAPSHOT_EVENTS):
        return loaded
    try:
        # Later events of the same append may have changed the named document.
        content = next((name for name, named in whole.items() if named is document), None)
        if content is None:
            revision = loaded.catalogue.revision
            content = await document_store.put(
                context.system, tenant, device_id, revision, document
            )
        snapshot = Snapshot(loaded.catalogue, content, loaded.version)
        await catalogue_snapshots.save(context.system, tenant, device_id, snapshot)
    except Unavailable:
        log.info("copy not kept", device=str(device_id))
        return loaded
    return Loaded(loaded.catalogue, loaded.version)


async def _load_snapshot(
    context: Context, tenant: str, device_id: DeviceId, *, up_to: int | None = None
) -> Loaded:
    snapshot = await catalogue_snapshots.latest(context.system, tenant, device_id, up_to=up_to)
    if snapshot is None:
        return Loaded(Catalogue(), 0)
    documents = await document_store.get(context.system, tenant, [snapshot.content])
    document = documents.get(snapshot.content)
    if document is None:
        # The document should be stored; without it the whole stream is folded.
        return Loaded(Catalogue(), 0)
    return Loaded(replace(snapshot.catalogue, document=document), snapshot.version)


async def _fold(
    context: Context, tenant: str, device_id: DeviceId, known: Loaded, *, up_to: int | None = None
) -> Loaded:
    """The catalogue after the events since `known`; up to a revision, if one is given."""
    later = await context.store.log.read(tenant, f"{CATEGORY}-{device_id}", after=known.version)
    events = [context.store.decode(recorded) for recorded in later]
    if up_to is not None:
        events = [event for event in events if getattr(event, "revision", 0) <= up_to]
    if not events:
        return known
    whole = [e for e in events if isinstance(e, CatalogueFetched | CatalogueReverted)]
    named = dict(await document_store.get(context.system, tenant, [e.content for e in whole[-1:]]))
    catalogue = reduce(partial(_evolve, named), events, known.catalogue)
    return Loaded(catalogue, known.version + len(events), known.since_snapshot + len(events))


def _evolve(named: dict[str, Document], catalogue: Catalogue, event: ScaleBridgeEvent) -> Catalogue:
    return evolve(catalogue, event, named)
