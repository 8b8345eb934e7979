"""The decisions on a catalogue: which events a command makes."""

from typing import Final, assert_never

from contracts.scale_bridge import CatalogueReverted, DatesRefreshed, ScaleBridgeEvent
from libs.errors import NotFound, Refused
from services.scale_bridge.catalogue.domain.catalogue import (
    DATES,
    Catalogue,
    CatalogueCommand,
    Confirm,
    DropMessage,
    Edit,
    Invalidate,
    RefreshDates,
    Revert,
    RevokeConfirmation,
    SetMessage,
    TakeFetched,
    TakePrice,
)
from services.scale_bridge.catalogue.domain.catalogue_sync import synchronize
from services.scale_bridge.catalogue.domain.dates import refreshed
from services.scale_bridge.catalogue.domain.edits import edit_product
from services.scale_bridge.catalogue.domain.fetched import take_fetched
from services.scale_bridge.catalogue.domain.label import messages
from services.scale_bridge.catalogue.domain.prices import (
    take_price,
    with_overrides,
    with_overrides_of_revert,
)
from services.scale_bridge.catalogue.domain.problems import RevisionBeyondModel, beyond_model
from services.scale_bridge.driver.domain.document import Document, is_deleted, key_of, products

CATEGORY: Final = "catalogue"
MOST_DATES: Final = 5000
"""The most products that one event dates; the size of an event is limited."""


class NothingCached(Refused):
    """Нет сохранённого каталога: сначала загрузите товары с весов."""


class RevisionUnknown(NotFound):
    """Revision not found"""


def document_of(catalogue: Catalogue) -> Document:
    """The document of a valid catalogue. Raises NothingCached."""
    if not catalogue.valid or catalogue.document is None:
        raise NothingCached
    return catalogue.document


def decide(catalogue: Catalogue, command: CatalogueCommand) -> list[ScaleBridgeEvent]:
    """See `Decider`.

    Raises ProductUnknown, NothingCached, RevisionUnknown, EditedMeanwhile, BadFields,
    RevisionBeyondModel.
    """
    match command:
        case TakeFetched():
            return take_fetched(catalogue, command)
        case Edit():
            return with_overrides(catalogue, command, edit_product(catalogue, command))
        case TakePrice():
            return take_price(catalogue, command)
        case SetMessage() | DropMessage():
            return messages(catalogue.revision, document_of(catalogue), command)
        case RefreshDates():
            return _refresh_dates(catalogue, command)
        case Revert():
            return with_overrides_of_revert(catalogue, command, _revert(catalogue, command))
        case Invalidate() | Confirm() | RevokeConfirmation():
            return synchronize(catalogue, command)
        case _:
            assert_never(command)


def _refresh_dates(catalogue: Catalogue, command: RefreshDates) -> list[ScaleBridgeEvent]:
    document = document_of(catalogue)
    new = refreshed(document, command.now)
    dates = {
        key_of(after): (after[DATES[0]], after[DATES[1]])
        for before, after in zip(products(document), products(new.document), strict=True)
        if before != after and not is_deleted(before) and key_of(before) not in command.except_plus
    }
    keys = list(dates)
    return [
        DatesRefreshed(
            device_id=command.device_id,
            revision=catalogue.revision + 1 + number,
            dates={key: dates[key] for key in keys[start : start + MOST_DATES]},
            left_alone=new.left_alone if start == 0 else 0,
            refreshed_at=command.now,
        )
        for number, start in enumerate(range(0, len(keys), MOST_DATES))
    ]


def _revert(catalogue: Catalogue, command: Revert) -> list[ScaleBridgeEvent]:
    if not catalogue.since <= command.to_revision <= catalogue.revision:
        raise RevisionUnknown
    if not catalogue.valid:
        raise NothingCached
    if catalogue.document == command.document and not command.being_read:
        return []
    before = catalogue.current_document
    excess = list(beyond_model(command.document, command.limits, before=before))
    if excess:
        raise RevisionBeyondModel(excess)
    return [
        CatalogueReverted(
            device_id=command.device_id,
            revision=catalogue.revision + 1,
            content=command.content,
            items=len(products(command.document)),
            to_revision=command.to_revision,
            reverted_by=command.reverted_by,
            reverted_at=command.now,
        )
    ]
