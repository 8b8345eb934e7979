"""A copy of a catalogue to try: two contents, events about them, commands."""

from datetime import UTC, datetime
from functools import reduce
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
from services.scale_bridge.domain.copy import (
    catalogue_with,
)
from services.scale_bridge.domain.copy_commands import (
    Confirm,
    Edit,
    Revert,
    TakeFetched,
)
from services.scale_bridge.domain.copy_history import Copy

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
ID, OPERATION = DeviceId(UUID(int=1)), OperationId(UUID(int=2))


def a_product(plu: int, **different: Any) -> dict[str, Any]:
    return {"pluNumber": plu, "code": plu + 100, "price": 10.0, "shelfLife": 5} | different


FIRST = {"products": [a_product(1), a_product(2)]}
SECOND = {"products": [a_product(3)]}
CONTENTS = {"first": FIRST, "second": SECOND}
CATALOGUE = catalogue_with(CONTENTS)


def was_fetched(revision: int, content: str = "first") -> CatalogueFetched:
    return CatalogueFetched(
        device_id=ID,
        revision=revision,
        content=content,
        items=len(CONTENTS[content]["products"]),
        operation_id=OPERATION,
        fetched_at=NOW,
    )


def was_edited(revision: int, plu: str = "1", price: float = 11.0) -> ProductEdited:
    return ProductEdited(
        device_id=ID,
        revision=revision,
        plu=plu,
        before={"price": 10.0},
        after={"price": price},
        source="person",
        edited_by="anna",
        edited_at=NOW,
    )


def was_confirmed(revision: int, content: str = "x") -> CatalogueConfirmed:
    return CatalogueConfirmed(
        device_id=ID, revision=revision, content=content, operation_id=OPERATION, confirmed_at=NOW
    )


def was_invalidated(revision: int) -> CatalogueInvalidated:
    return CatalogueInvalidated(
        device_id=ID, revision=revision, reason="address changed", invalidated_at=NOW
    )


def edit(plu: str = "1", **fields: Any) -> Edit:
    return Edit(device_id=ID, plu=plu, fields=fields, source="person", edited_by="anna", now=NOW)


def fetch(content: str = "first") -> TakeFetched:
    return TakeFetched(
        device_id=ID,
        operation_id=OPERATION,
        content=content,
        document=CONTENTS[content],
        now=NOW,
    )


def confirm(revision: int, content: str = "x") -> Confirm:
    return Confirm(
        device_id=ID, operation_id=OPERATION, revision=revision, content=content, now=NOW
    )


def after(*events: ScaleBridgeEvent) -> Copy:
    return reduce(CATALOGUE.evolve, events, CATALOGUE.initial)


def revert(to: int, content: str) -> Revert:
    return Revert(
        device_id=ID,
        to_revision=to,
        content=content,
        document=CONTENTS[content],
        reverted_by="anna",
        now=NOW,
    )
