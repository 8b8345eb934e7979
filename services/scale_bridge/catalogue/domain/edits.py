"""The decision on an edit of one product (R11), by a person or for a price of the shop."""

from collections.abc import Mapping
from typing import Any

from contracts.scale_bridge import ProductEdited, ScaleBridgeEvent
from libs.errors import NotFound
from services.scale_bridge.catalogue.domain.catalogue import Catalogue, Edit
from services.scale_bridge.catalogue.domain.label import references
from services.scale_bridge.catalogue.domain.product import patched
from services.scale_bridge.driver.domain.document import (
    Document,
    is_deleted,
    plu_of,
    position_of,
    products,
)


class ProductUnknown(NotFound):
    """Product not found (plu)"""


def edit_product(catalogue: Catalogue, command: Edit) -> list[ScaleBridgeEvent]:
    """The event of an edit; nothing if the product is as desired.

    Raises ProductUnknown, BadFields, BeyondModel.
    """
    document = catalogue.current_document
    position = position_of(document, command.plu)
    if position is None:
        raise ProductUnknown
    before = products(document)[position]
    after = patched(
        before,
        command.fields,
        others=_other_plus(document, position, command.fields),
        limits=command.limits,
        references=references(document, command.fields),
    )
    changed = [name for name in after if name not in before or not _same(before[name], after[name])]
    if command.being_read:
        # All fields but the PLU, by which the edit is repeated.
        sent = [name for name in command.fields if name in after and name != "pluNumber"]
        changed = list(dict.fromkeys([*changed, *sent]))
    if not changed:
        return []
    return [
        ProductEdited(
            device_id=command.device_id,
            revision=catalogue.revision + 1,
            plu=command.plu,
            before={name: before.get(name) for name in changed},
            after={name: after[name] for name in changed},
            source=command.source,
            edited_by=command.edited_by,
            edited_at=command.now,
        )
    ]


def _other_plus(document: Document, position: int, fields: Mapping[str, Any]) -> frozenset[str]:
    """The PLUs of all other products, if the PLU is edited."""
    if "pluNumber" not in fields:
        return frozenset()
    others = (item for at, item in enumerate(products(document)) if at != position)
    plus = (plu_of(item) for item in others if not is_deleted(item))
    return frozenset(plu for plu in plus if plu is not None)


def _same(before: object, after: object) -> bool:
    # In Python 1 == True.
    return before == after and isinstance(before, bool) == isinstance(after, bool)
