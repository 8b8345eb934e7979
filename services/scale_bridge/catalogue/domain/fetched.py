"""What a scale was read to hold, and the changes that came while it was read: none of them is lost.

Reading takes its time, and the catalogue may be changed meanwhile. What was stored before the
reading was ordered gives way to what the scale holds (R7); every later change is made again on top
of that, or if that cannot be done, the catalogue stays as it is.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from contracts.scale_bridge import (
    CatalogueFetched,
    CatalogueInvalidated,
    CatalogueReverted,
    DatesRefreshed,
    MessageEdited,
    ProductEdited,
    ScaleBridgeEvent,
)
from libs.errors import NotFound, Refused
from services.scale_bridge.catalogue.domain.catalogue import DATES, Catalogue, evolve, renumbered
from services.scale_bridge.catalogue.domain.catalogue_sync import confirmed, synchronize
from services.scale_bridge.catalogue.domain.commands import (
    Confirm,
    Doubt,
    DropMessage,
    Edit,
    SetMessage,
    TakeFetched,
)
from services.scale_bridge.catalogue.domain.label import messages
from services.scale_bridge.catalogue.domain.prices import PERSON
from services.scale_bridge.catalogue.domain.product import BadFields
from services.scale_bridge.driver.domain.document import by_key, products

Edited: TypeAlias = Callable[[Catalogue, Edit], list[ScaleBridgeEvent]]

CHANGES: Final = (
    CatalogueFetched,
    CatalogueInvalidated,
    CatalogueReverted,
    DatesRefreshed,
    MessageEdited,
    ProductEdited,
)
"""The events that each make a new revision."""


class EditedMeanwhile(Refused):
    """Каталог изменили за это время, и правки нельзя соединить: повторите."""


def take_fetched(copy: Catalogue, command: TakeFetched, edited: Edited) -> list[ScaleBridgeEvent]:
    """The catalogue that was read, and on top of it the changes since that was ordered.

    A revision that was brought back meanwhile stays the present one. What is the same already is no
    new revision; it may be news that the scale holds it. Raises EditedMeanwhile.
    """
    if copy.valid and copy.document == command.document:
        return confirmed(copy, _confirm(copy, command))
    changes = _in_force(command.changes) if copy.valid else []
    if any(isinstance(change, CatalogueReverted) for change in changes):
        return synchronize(copy, _doubt(command))
    whole = CatalogueFetched(
        device_id=command.device_id,
        revision=copy.revision + 1,
        content=command.content,
        items=len(products(command.document)),
        operation_id=command.operation_id,
        fetched_at=command.now,
    )
    events: list[ScaleBridgeEvent] = [whole]
    now = evolve(copy, whole, {command.content: command.document})
    for change in changes:
        for event in _again(now, change, command, edited):
            events.append(event)
            now = evolve(now, event)
    return events


def set_by_people(changes: Iterable[ScaleBridgeEvent], names: Collection[str]) -> Mapping[str, str]:
    """Who set one of these fields of a product last, by its PLU, where that was a person."""
    found: dict[str, str] = {}
    for change in changes:
        if not isinstance(change, ProductEdited):
            continue
        by = found.pop(change.plu, None)
        if not change.after.keys().isdisjoint(names):
            by = change.edited_by if change.source == PERSON else None
        if by is not None:
            found[renumbered(change)] = by
    return found


def _in_force(changes: Sequence[ScaleBridgeEvent]) -> list[ScaleBridgeEvent]:
    """The changes of the catalogue that is stored: another one may have replaced it meanwhile."""
    whole = (CatalogueFetched, CatalogueInvalidated)
    last = max((n for n, one in enumerate(changes) if isinstance(one, whole)), default=-1)
    return list(changes[last + 1 :])


def _again(
    copy: Catalogue, change: ScaleBridgeEvent, command: TakeFetched, edited: Edited
) -> Iterator[ScaleBridgeEvent]:
    try:
        match change:
            case ProductEdited(source=source) if source == PERSON:
                yield from edited(copy, _edit(change, command))
            case MessageEdited() if copy.document is not None:
                yield from messages(copy.revision, copy.document, _message(change, command))
            case DatesRefreshed():
                yield from _dates(copy, change, command)
            case _:
                # The shop's prices are held against what was read by themselves.
                return
    except NotFound:
        if isinstance(change, MessageEdited):
            # To be dropped, and not there any more.
            return
        raise EditedMeanwhile from None
    except (BadFields, Refused):
        raise EditedMeanwhile from None


def _edit(change: ProductEdited, command: TakeFetched) -> Edit:
    fields, plu = dict(change.after), change.after.get("pluNumber")
    if isinstance(plu, str):
        # As only the scale writes it (§3).
        fields["pluNumber"] = int(plu)
    return Edit(
        device_id=command.device_id,
        plu=change.plu,
        fields=fields,
        source=change.source,
        edited_by=change.edited_by,
        now=command.now,
        being_read=command.being_read,
    )


def _message(change: MessageEdited, command: TakeFetched) -> SetMessage | DropMessage:
    if change.after.get("deleted") is True:
        return DropMessage(
            device_id=command.device_id,
            message=change.message,
            edited_by=change.edited_by,
            now=command.now,
            being_read=command.being_read,
        )
    return SetMessage(
        device_id=command.device_id,
        message=change.message,
        value=str(change.after.get("value", "")),
        edited_by=change.edited_by,
        now=command.now,
        being_read=command.being_read,
    )


def _dates(
    copy: Catalogue, change: DatesRefreshed, command: TakeFetched
) -> Iterator[ScaleBridgeEvent]:
    there = by_key(copy.current_document)
    dates = {
        key: (two[0], two[1])
        for key, two in change.dates.items()
        if key in there and [there[key].get(name) for name in DATES] != list(two)
    }
    if dates:
        yield DatesRefreshed(
            device_id=command.device_id,
            revision=copy.revision + 1,
            dates=dates,
            left_alone=0,
            refreshed_at=command.now,
        )


def _confirm(copy: Catalogue, command: TakeFetched) -> Confirm:
    return Confirm(
        device_id=command.device_id,
        operation_id=command.operation_id,
        revision=copy.revision,
        content=command.content,
        now=command.now,
    )


def _doubt(command: TakeFetched) -> Doubt:
    return Doubt(
        device_id=command.device_id,
        operation_id=command.operation_id,
        content=command.content,
        now=command.now,
    )
