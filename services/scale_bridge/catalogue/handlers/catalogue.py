"""What happens to a scale's catalogue: it is folded from the log, changed, and kept.

A change appends at the version it was decided on, else it is decided again: edits of different
products all survive, whichever process they come to (R9).
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
from services.scale_bridge.catalogue.domain.catalogue import Catalogue, evolve
from services.scale_bridge.catalogue.domain.commands import (
    CatalogueCommand,
    DropMessage,
    Edit,
    Revert,
    SetMessage,
    TakeFetched,
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
UNKEPT: Final = 50
"""After so many events a copy is kept, so that no more than about that many are folded."""

SPARE: Final = 4
FEW: Final = 20
TOGETHER: Final = 200
"""So many changes are told of in one append where there are more than a few."""

CommandFactory: TypeAlias = Callable[[Catalogue], Awaitable[CatalogueCommand]]
"""Makes the command, looking at the copy it will be decided on."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The catalogue after a command, what it decided, and the token to read it back with."""

    copy: Catalogue
    events: Sequence[ScaleBridgeEvent]
    token: str | None


async def load(context: Context, tenant: str, device_id: DeviceId) -> Loaded:
    """The catalogue as it is now. Raises Unavailable, LogUnavailable."""
    known = context.catalogues.get(tenant, device_id) or await _kept(context, tenant, device_id)
    loaded = await _on(context, tenant, device_id, known)
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
    """Change a catalogue; with a `command_id` once, however often that is told.

    Raises what `decide` raises, Unavailable, LogUnavailable.
    """
    tenant = metadata.tenant
    async with context.catalogues.lock(tenant, device_id):
        for _ in range(ATTEMPTS):
            # First whether it is read: a reading that ends after this makes another version.
            reading = await context.hooks.pending_fetches(context, tenant, device_id)
            loaded = await load(context, tenant, device_id)
            stream = f"{CATEGORY}-{device_id}"
            if command_id and (done := await context.store.outcome_of(command_id, tenant, stream)):
                return Changed(loaded.copy, [], done.token)
            made = await command(loaded.copy) if callable(command) else command
            made = _beside(made, reading)
            try:
                return await _decided(context, device_id, loaded, made, metadata, command_id)
            except VersionConflict:
                continue
    raise Unavailable("catalogue")


def _beside(command: CatalogueCommand, reading: frozenset[OperationId]) -> CatalogueCommand:
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
    """What made the revisions after one, the oldest first, and what was told of prices since.

    Nothing if there is no such revision. Raises Unavailable, LogUnavailable.
    """
    loaded = await load(context, tenant, device_id)
    number = loaded.copy.revision - revision if revision is not None else 0
    spare = SPARE
    while number > 0:
        # Beside each revision stand events that are none, which may be many.
        after = max(0, loaded.version - spare * number)
        recorded = await context.store.log.read(tenant, f"{CATEGORY}-{device_id}", after=after)
        events = [context.store.decode(one) for one in recorded]
        places = [n for n, e in enumerate(events) if _revision(e) > (revision or 0)]
        if not after or (places and any(_revision(e) for e in events[: places[0]])):
            return events[places[0] :] if places else ()
        spare *= SPARE
    return ()


def _revision(event: ScaleBridgeEvent) -> int:
    """The revision that an event made, 0 if it made none."""
    return event.revision if isinstance(event, CHANGES) else 0


async def change_each(
    context: Context,
    device_id: DeviceId,
    commands: Sequence[tuple[CatalogueCommand, Metadata]],
    *,
    many: Metadata,
    seen: int,
) -> Catalogue:
    """Change a catalogue in several ways, each on its own; what cannot be done is left out.

    All are of one tenant, and made for the revision `seen`. A few are appended one by one, with
    their own metadata; more than `FEW` are appended together, with the metadata `many`. Commands
    that make no difference append nothing. Raises EditedMeanwhile if there is another revision by
    now, before which some of the commands may have been carried out; Unavailable, LogUnavailable.
    """
    at_once = 1 if len(commands) <= FEW else TOGETHER
    async with context.catalogues.lock(many.tenant, device_id):
        for start in range(0, len(commands), at_once):
            some = commands[start : start + at_once]
            metadata = some[0][1] if at_once == 1 else many
            doing = [command for command, _ in some]
            seen = await _some_of_each(context, device_id, doing, metadata, seen)
        return (await load(context, many.tenant, device_id)).copy


async def _some_of_each(
    context: Context,
    device_id: DeviceId,
    commands: Sequence[CatalogueCommand],
    metadata: Metadata,
    seen: int,
) -> int:
    """The revision to which the commands led from the revision `seen`."""
    for _ in range(ATTEMPTS):
        loaded = await load(context, metadata.tenant, device_id)
        if loaded.copy.revision != seen:
            raise EditedMeanwhile
        copy, events = loaded.copy, list[ScaleBridgeEvent]()
        for command in commands:
            try:
                told = decide(copy, command)
            except (NotFound, BadFields) as error:
                log.warning("not changed", device=str(device_id), reason=str(error))
                continue
            copy, events = reduce(evolve, told, copy), [*events, *told]
            # A large catalogue takes milliseconds for each; others want a turn.
            await asyncio.sleep(0)
        try:
            await _append_each(context, device_id, loaded, copy, events, metadata)
        except VersionConflict:
            continue
        return copy.revision
    raise Unavailable("catalogue")


async def at_revision(
    context: Context, tenant: str, device_id: DeviceId, revision: int
) -> Document:
    """What the catalogue was at a revision. Raises RevisionUnknown if it is not kept any more."""
    now = (await load(context, tenant, device_id)).copy
    if not 1 <= revision <= now.revision:
        # Before any table is asked, which may not even hold such a number.
        raise RevisionUnknown
    if revision == now.revision and now.document is not None:
        return now.document
    known = await _kept(context, tenant, device_id, up_to=revision)
    found = (await _on(context, tenant, device_id, known, up_to=revision)).copy
    if found.revision != revision or found.document is None:
        raise RevisionUnknown
    return found.document


async def _decided(
    context: Context,
    device_id: DeviceId,
    loaded: Loaded,
    command: CatalogueCommand,
    metadata: Metadata,
    command_id: UUID | None = None,
) -> Changed:
    events = decide(loaded.copy, command)
    named: dict[str, Document] = {}
    if isinstance(command, TakeFetched | Revert):
        named = {command.content: command.document}
    copy = reduce(partial(_evolve, named), events, loaded.copy)
    token = await _append_each(
        context, device_id, loaded, copy, events, metadata, command_id, named
    )
    return Changed(copy, events, token)


async def _append_each(
    context: Context,
    device_id: DeviceId,
    loaded: Loaded,
    copy: Catalogue,
    events: Sequence[ScaleBridgeEvent],
    metadata: Metadata,
    command_id: UUID | None = None,
    whole: Mapping[str, Document] | None = None,
) -> str | None:
    """Append what makes this copy of what was loaded. Raises VersionConflict."""
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
        # The same command, sent twice at once: the other one's counts.
        raise VersionConflict
    after = Loaded(copy, appended.version, loaded.unkept + len(events))
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
    """Keep a copy now and then. That it was not kept is no reason to fail: the log has it all."""
    document = loaded.copy.document
    if document is None or not (whole or loaded.unkept >= UNKEPT):
        return loaded
    try:
        # What was named may have been changed by later events of the same append.
        content = next((name for name, named in whole.items() if named is document), None)
        if content is None:
            revision = loaded.copy.revision
            content = await document_store.put(context.pool, tenant, device_id, revision, document)
        kept = Snapshot(loaded.copy, content, loaded.version)
        await catalogue_snapshots.mark(context.pool, tenant, device_id, kept)
    except Unavailable:
        log.info("copy not kept", device=str(device_id))
        return loaded
    return Loaded(loaded.copy, loaded.version)


async def _kept(
    context: Context, tenant: str, device_id: DeviceId, *, up_to: int | None = None
) -> Loaded:
    kept = await catalogue_snapshots.latest(context.pool, tenant, device_id, up_to=up_to)
    if kept is None:
        return Loaded(Catalogue(), 0)
    found = await document_store.get(context.pool, tenant, [kept.content])
    if kept.content not in found:
        # It should be there; what is in the log still tells all that came since a whole one.
        return Loaded(Catalogue(), 0)
    copy = _with_document(kept.copy, found[kept.content])
    return Loaded(copy, kept.version)


async def _on(
    context: Context, tenant: str, device_id: DeviceId, known: Loaded, *, up_to: int | None = None
) -> Loaded:
    """The same, and what came since; up to a revision, if one is given."""
    later = await context.store.log.read(tenant, f"{CATEGORY}-{device_id}", after=known.version)
    events = [context.store.decode(recorded) for recorded in later]
    if up_to is not None:
        events = [event for event in events if getattr(event, "revision", 0) <= up_to]
    if not events:
        return known
    whole = [e for e in events if isinstance(e, CatalogueFetched | CatalogueReverted)]
    named = dict(await document_store.get(context.pool, tenant, [e.content for e in whole[-1:]]))
    copy = reduce(partial(_evolve, named), events, known.copy)
    return Loaded(copy, known.version + len(events), known.unkept + len(events))


def _evolve(named: dict[str, Document], copy: Catalogue, event: ScaleBridgeEvent) -> Catalogue:
    return evolve(copy, event, named)


def _with_document(copy: Catalogue, document: Document) -> Catalogue:
    return replace(copy, document=document)
