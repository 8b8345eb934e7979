"""The stored copy of a scale's catalogue: what the scale shall show, revision by revision."""

from collections.abc import Mapping
from typing import Any, Final, assert_never

from contracts.scale_bridge import (
    CatalogueReverted,
    DatesRefreshed,
    ProductEdited,
    ScaleBridgeEvent,
)
from libs.errors import NotFound, Refused
from libs.eventsourcing.decider import Decider
from services.scale_bridge.catalogue.domain.catalogue import DATES, Catalogue, evolve
from services.scale_bridge.catalogue.domain.catalogue_sync import synchronize
from services.scale_bridge.catalogue.domain.commands import (
    CatalogueCommand,
    Confirm,
    Doubt,
    DropMessage,
    Edit,
    Invalidate,
    RefreshDates,
    Revert,
    SetMessage,
    TakeFetched,
    TakePrice,
)
from services.scale_bridge.catalogue.domain.dates import refreshed
from services.scale_bridge.catalogue.domain.fetched import take_fetched
from services.scale_bridge.catalogue.domain.label import messages, references
from services.scale_bridge.catalogue.domain.prices import overruled, overruled_by_revert, take
from services.scale_bridge.catalogue.domain.problems import RevisionBeyondModel, beyond_model
from services.scale_bridge.catalogue.domain.product import patched
from services.scale_bridge.driver.domain.document import (
    Document,
    is_deleted,
    key_of,
    plu_of,
    position_of,
    products,
)

CATEGORY: Final = "catalogue"
MOST_DATES: Final = 5000
"""How many products one event dates: it must fit into the log."""


class ProductUnknown(NotFound):
    """Product not found (plu)"""


class NothingCached(Refused):
    """Нет сохранённого каталога: сначала загрузите товары с весов."""


class RevisionUnknown(NotFound):
    """Revision not found"""


NEVER: Final = Catalogue()


def document_of(copy: Catalogue) -> Document:
    """The catalogue that may be sent. Raises NothingCached."""
    if not copy.valid or copy.document is None:
        raise NothingCached
    return copy.document


def decide(copy: Catalogue, command: CatalogueCommand) -> list[ScaleBridgeEvent]:
    """See `Decider`.

    Raises ProductUnknown, NothingCached, RevisionUnknown, EditedMeanwhile, BadFields,
    RevisionBeyondModel.
    """
    match command:
        case TakeFetched():
            return take_fetched(copy, command, _edited)
        case Edit():
            return overruled(copy, command, _edited(copy, command))
        case TakePrice():
            return take(copy, command, _edited)
        case SetMessage() | DropMessage():
            return messages(copy.revision, document_of(copy), command)
        case RefreshDates():
            return _dated(copy, command)
        case Revert():
            return overruled_by_revert(copy, command, _reverted(copy, command))
        case Invalidate() | Confirm() | Doubt():
            return synchronize(copy, command)
        case _:
            assert_never(command)


def _edited(copy: Catalogue, command: Edit) -> list[ScaleBridgeEvent]:
    document = copy.current_document
    place = position_of(document, command.plu)
    if place is None:
        raise ProductUnknown
    before = products(document)[place]
    others = _others(document, place, command.fields)
    after = patched(
        before,
        command.fields,
        others=others,
        limits=command.limits,
        references=references(document, command.fields),
    )
    changed = [name for name in after if name not in before or not _same(before[name], after[name])]
    if command.being_read:
        # But for the PLU: the product is found by it again.
        named = [name for name in command.fields if name in after and name != "pluNumber"]
        changed = list(dict.fromkeys([*changed, *named]))
    if not changed:
        return []
    return [
        ProductEdited(
            device_id=command.device_id,
            revision=copy.revision + 1,
            plu=command.plu,
            before={name: before.get(name) for name in changed},
            after={name: after[name] for name in changed},
            source=command.source,
            edited_by=command.edited_by,
            edited_at=command.now,
        )
    ]


def _others(document: Document, place: int, fields: Mapping[str, Any]) -> frozenset[str]:
    if "pluNumber" not in fields:
        return frozenset()
    others = (item for at, item in enumerate(products(document)) if at != place)
    every = (plu_of(item) for item in others if not is_deleted(item))
    return frozenset(plu for plu in every if plu is not None)


def _same(before: object, after: object) -> bool:
    # To Python 1 and True are the same.
    return before == after and isinstance(before, bool) == isinstance(after, bool)


def _dated(copy: Catalogue, command: RefreshDates) -> list[ScaleBridgeEvent]:
    document = document_of(copy)
    new = refreshed(document, command.now)
    dates = {
        key_of(after): (after[DATES[0]], after[DATES[1]])
        for before, after in zip(products(document), products(new.document), strict=True)
        if before != after and not is_deleted(before) and key_of(before) not in command.but
    }
    keys = list(dates)
    return [
        DatesRefreshed(
            device_id=command.device_id,
            revision=copy.revision + 1 + number,
            dates={key: dates[key] for key in keys[start : start + MOST_DATES]},
            left_alone=new.left_alone if start == 0 else 0,
            refreshed_at=command.now,
        )
        for number, start in enumerate(range(0, len(keys), MOST_DATES))
    ]


def _reverted(copy: Catalogue, command: Revert) -> list[ScaleBridgeEvent]:
    if not copy.since <= command.to_revision <= copy.revision:
        raise RevisionUnknown
    if not copy.valid:
        raise NothingCached
    if copy.document == command.document and not command.being_read:
        return []
    excess = list(beyond_model(command.document, command.limits, before=copy.current_document))
    if excess:
        raise RevisionBeyondModel(excess)
    return [
        CatalogueReverted(
            device_id=command.device_id,
            revision=copy.revision + 1,
            content=command.content,
            items=len(products(command.document)),
            to_revision=command.to_revision,
            reverted_by=command.reverted_by,
            reverted_at=command.now,
        )
    ]


def catalogue_with(
    contents: Mapping[str, Document], initial: Catalogue = NEVER
) -> Decider[Catalogue, CatalogueCommand, ScaleBridgeEvent]:
    """The aggregate, folded with these contents and from `initial` on."""
    return Decider(
        category=CATEGORY,
        initial=initial,
        decide=decide,
        evolve=lambda copy, event: evolve(copy, event, contents),
    )
