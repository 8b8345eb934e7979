"""The decision on a fetched catalogue, and the changes made while it was fetched.

A fetch takes time, and the catalogue may change meanwhile. What was stored before the fetch was
ordered is replaced by what the scale holds (R7); every later change is repeated on top of that. If
a change cannot be repeated, the stored catalogue stays.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

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
from services.scale_bridge.catalogue.domain.catalogue import (
    DATES,
    Catalogue,
    Confirm,
    DropMessage,
    Edit,
    RevokeConfirmation,
    SetMessage,
    TakeFetched,
    evolve,
    plu_after,
)
from services.scale_bridge.catalogue.domain.catalogue_sync import confirm, synchronize
from services.scale_bridge.catalogue.domain.edits import edit_product
from services.scale_bridge.catalogue.domain.label import messages
from services.scale_bridge.catalogue.domain.prices import PERSON
from services.scale_bridge.catalogue.domain.product import BadFields
from services.scale_bridge.driver.domain.document import by_key, products

CHANGES: Final = (
    CatalogueFetched,
    CatalogueInvalidated,
    CatalogueReverted,
    DatesRefreshed,
    MessageEdited,
    ProductEdited,
)
"""The events that make a new revision."""


class EditedMeanwhile(Refused):
    """Каталог изменили за это время, и правки нельзя соединить: повторите."""


def take_fetched(catalogue: Catalogue, command: TakeFetched) -> list[ScaleBridgeEvent]:
    """The fetched catalogue, and on top of it the changes since the fetch was ordered.

    A revision that was restored meanwhile stays the current one. A fetch of the stored catalogue is
    no new revision, but may confirm it. Raises EditedMeanwhile.
    """
    if catalogue.valid and catalogue.document == command.document:
        return confirm(catalogue, _confirm(catalogue, command))
    changes = _of_current(command.changes) if catalogue.valid else []
    if any(isinstance(change, CatalogueReverted) for change in changes):
        return synchronize(catalogue, _revoke(command))
    whole = CatalogueFetched(
        device_id=command.device_id,
        revision=catalogue.revision + 1,
        content=command.content,
        items=len(products(command.document)),
        operation_id=command.operation_id,
        fetched_at=command.now,
    )
    events: list[ScaleBridgeEvent] = [whole]
    catalogue = evolve(catalogue, whole, {command.content: command.document})
    for change in changes:
        for event in _repeat(catalogue, change, command):
            events.append(event)
            catalogue = evolve(catalogue, event)
    return events


def set_by_people(changes: Iterable[ScaleBridgeEvent], names: Collection[str]) -> Mapping[str, str]:
    """By PLU, the person who was the last to set one of these fields of the product."""
    people: dict[str, str] = {}
    for change in changes:
        if not isinstance(change, ProductEdited):
            continue
        by = people.pop(change.plu, None)
        if not change.after.keys().isdisjoint(names):
            by = change.edited_by if change.source == PERSON else None
        if by is not None:
            people[plu_after(change)] = by
    return people


def _of_current(changes: Sequence[ScaleBridgeEvent]) -> list[ScaleBridgeEvent]:
    """The changes since the last whole catalogue, if one was stored meanwhile."""
    whole = (CatalogueFetched, CatalogueInvalidated)
    last = max((n for n, one in enumerate(changes) if isinstance(one, whole)), default=-1)
    return list(changes[last + 1 :])


def _repeat(
    catalogue: Catalogue, change: ScaleBridgeEvent, command: TakeFetched
) -> Iterator[ScaleBridgeEvent]:
    """The events of a change that is repeated on the fetched catalogue. Raises EditedMeanwhile."""
    try:
        match change:
            case ProductEdited(source=source) if source == PERSON:
                yield from edit_product(catalogue, _edit(change, command))
            case MessageEdited() if catalogue.document is not None:
                yield from messages(
                    catalogue.revision, catalogue.document, _message(change, command)
                )
            case DatesRefreshed():
                yield from _dates(catalogue, change, command)
            case _:
                # The shop's prices are applied after every fetch.
                return
    except NotFound:
        if isinstance(change, MessageEdited):
            # The text to delete is not on the scale.
            return
        raise EditedMeanwhile from None
    except (BadFields, Refused):
        raise EditedMeanwhile from None


def _edit(change: ProductEdited, command: TakeFetched) -> Edit:
    fields, plu = dict(change.after), change.after.get("pluNumber")
    if isinstance(plu, str):
        # Only scales write a PLU as text (§3).
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
    catalogue: Catalogue, change: DatesRefreshed, command: TakeFetched
) -> Iterator[ScaleBridgeEvent]:
    items = by_key(catalogue.current_document)
    dates = {
        key: (two[0], two[1])
        for key, two in change.dates.items()
        if key in items and [items[key].get(name) for name in DATES] != list(two)
    }
    if dates:
        yield DatesRefreshed(
            device_id=command.device_id,
            revision=catalogue.revision + 1,
            dates=dates,
            left_alone=0,
            refreshed_at=command.now,
        )


def _confirm(catalogue: Catalogue, command: TakeFetched) -> Confirm:
    return Confirm(
        device_id=command.device_id,
        operation_id=command.operation_id,
        revision=catalogue.revision,
        content=command.content,
        now=command.now,
    )


def _revoke(command: TakeFetched) -> RevokeConfirmation:
    return RevokeConfirmation(
        device_id=command.device_id,
        operation_id=command.operation_id,
        content=command.content,
        now=command.now,
    )
