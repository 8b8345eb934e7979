"""A catalogue for tests: two documents, events and commands."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contracts.scale_bridge import (
    CatalogueConfirmed,
    CatalogueFetched,
    CatalogueInvalidated,
    DeviceId,
    OperationId,
    ProductEdited,
    ScaleBridgeEvent,
)
from libs.eventsourcing.decider import Decider
from services.scale_bridge.catalogue.domain.catalogue import (
    Catalogue,
    CatalogueCommand,
    Confirm,
    Edit,
    Revert,
    TakeFetched,
    evolve,
)
from services.scale_bridge.catalogue.domain.decisions import CATEGORY, decide
from services.scale_bridge.catalogue.domain.prices import is_unsent
from services.scale_bridge.driver.domain.document import Document
from tests.services.scale_bridge.usual import Usual

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
ID, OPERATION = DeviceId(UUID(int=1)), OperationId(UUID(int=2))
made = Usual(NOW, device_id=ID, operation_id=OPERATION, source="person", reason="address changed")


def a_product(plu: int, **different: Any) -> dict[str, Any]:
    return {"pluNumber": plu, "code": plu + 100, "price": 10.0, "shelfLife": 5} | different


FIRST = {"products": [a_product(1), a_product(2)]}
SECOND = {"products": [a_product(3)]}
CONTENTS = {"first": FIRST, "second": SECOND}


def catalogue_with(
    contents: Mapping[str, Document],
) -> Decider[Catalogue, CatalogueCommand, ScaleBridgeEvent]:
    """The aggregate, with the documents that its events name by MD5."""
    return Decider(
        category=CATEGORY,
        initial=Catalogue(),
        decide=decide,
        evolve=lambda catalogue, event: evolve(catalogue, event, contents),
    )


CATALOGUE = catalogue_with(CONTENTS)


def has_unsent_price(catalogue: Catalogue) -> bool:
    """Whether a price of the shop is in the catalogue, and not confirmed on the scale."""
    return catalogue.valid and any(is_unsent(catalogue, plu) for plu in catalogue.taken)


def was_fetched(revision: int, content: str = "first", items: int = 2) -> CatalogueFetched:
    return made(CatalogueFetched, revision=revision, content=content, items=items)


def was_edited(revision: int, plu: str = "1", price: float = 11.0) -> ProductEdited:
    changed = {"before": {"price": 10.0}, "after": {"price": price}}
    return made(ProductEdited, revision=revision, plu=plu, **changed)


def was_confirmed(revision: int, content: str = "x") -> CatalogueConfirmed:
    return made(CatalogueConfirmed, revision=revision, content=content)


def was_invalidated(revision: int) -> CatalogueInvalidated:
    return made(CatalogueInvalidated, revision=revision)


def edit(plu: str = "1", **fields: Any) -> Edit:
    return made(Edit, plu=plu, fields=fields)


def fetch(content: str = "first", document: Any = None) -> TakeFetched:
    return made(TakeFetched, content=content, document=document or CONTENTS[content])


def confirm(revision: int, content: str = "x") -> Confirm:
    return made(Confirm, revision=revision, content=content)


def revert(to: int, content: str) -> Revert:
    return made(Revert, to_revision=to, content=content, document=CONTENTS[content])


def after(*events: ScaleBridgeEvent) -> Catalogue:
    return CATALOGUE.state_after(events)
