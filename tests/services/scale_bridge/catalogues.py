"""A catalogue for tests: two documents, events and commands."""

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
from services.scale_bridge.catalogue.domain.catalogue import (
    Catalogue,
    Confirm,
    Edit,
    Revert,
    TakeFetched,
)
from services.scale_bridge.catalogue.domain.decisions import catalogue_with
from tests.services.scale_bridge.usual import Usual

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
ID, OPERATION = DeviceId(UUID(int=1)), OperationId(UUID(int=2))
made = Usual(NOW, device_id=ID, operation_id=OPERATION, source="person", reason="address changed")


def a_product(plu: int, **different: Any) -> dict[str, Any]:
    return {"pluNumber": plu, "code": plu + 100, "price": 10.0, "shelfLife": 5} | different


FIRST = {"products": [a_product(1), a_product(2)]}
SECOND = {"products": [a_product(3)]}
CONTENTS = {"first": FIRST, "second": SECOND}
CATALOGUE = catalogue_with(CONTENTS)


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
