"""The catalogue of a scale: its state, the commands on it, and how events change it.

The service stores the desired catalogue of every scale, revision by revision. Events name whole
documents by their MD5 only; `evolve` needs the documents. If one is missing, the catalogue has no
document until the next whole one.

While the scale is `being_read`, a command of a person makes an event even if the stored catalogue
is already as desired: the catalogue that is read may differ, and the person's change is repeated
on it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, TypeAlias

from contracts.scale_bridge import (
    CatalogueConfirmed,
    CatalogueDoubted,
    CatalogueFetched,
    CatalogueInvalidated,
    CatalogueReverted,
    DatesRefreshed,
    DeviceId,
    MessageEdited,
    OperationId,
    PriceOverridden,
    PriceTaken,
    ProductEdited,
    ScaleBridgeEvent,
)
from services.scale_bridge.catalogue.domain.difference import MESSAGES, has_id
from services.scale_bridge.catalogue.domain.model import PERMISSIVE, Limits
from services.scale_bridge.catalogue.domain.shop_price import ShopPrice, TakenPrice, taken_price
from services.scale_bridge.driver.domain.document import (
    Document,
    Product,
    key_of,
    position_of,
    products,
    text_of,
)

DATES: Final = ("manufactureDate", "sellByDate")


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """The stored catalogue. `valid` from the first fetch until the address of the scale changes.

    `confirmed` is the last revision the scale is known to have held, `on_scale` the MD5 of what it
    held then. Revisions before `since` belong to another scale. `taken` are the shop's last prices,
    by PLU.
    """

    revision: int = 0
    confirmed: int = 0
    since: int = 1
    valid: bool = False
    on_scale: str | None = None
    document: Document | None = None
    taken: Mapping[str, TakenPrice] = field(default_factory=dict)

    @property
    def dirty(self) -> bool:
        """Whether the scale may hold another catalogue (R8)."""
        return self.revision != self.confirmed

    @property
    def current_document(self) -> Document:
        """The document; empty while the catalogue is not valid."""
        return self.document if self.valid and self.document is not None else {"products": []}


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeFetched:
    """Take over the catalogue that was read from the scale, and the `changes` since the order."""

    device_id: DeviceId
    operation_id: OperationId
    content: str
    document: Document
    now: datetime
    changes: Sequence[ScaleBridgeEvent] = ()
    being_read: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """Set fields of the product with a PLU, within the limits of the model.

    `source` is `person` or `price`.
    """

    device_id: DeviceId
    plu: str
    fields: Mapping[str, Any]
    source: str
    edited_by: str
    now: datetime
    limits: Limits = PERMISSIVE
    being_read: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TakePrice:
    """Set the shop's price of an article, which is the product with a PLU.

    `set_by` is the person who set another price before this one arrived; that one takes precedence.
    """

    device_id: DeviceId
    plu: str
    price: ShopPrice
    now: datetime
    limits: Limits = PERMISSIVE
    set_by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SetMessage:
    """Add or change a text of labels. `message` is its id, as text."""

    device_id: DeviceId
    message: str
    value: str
    edited_by: str
    now: datetime
    limits: Limits = PERMISSIVE
    being_read: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DropMessage:
    """Delete a text that no label carries."""

    device_id: DeviceId
    message: str
    edited_by: str
    now: datetime
    being_read: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RefreshDates:
    """Set the dates of all products to today (R13), except those with the PLUs in `except_plus`.

    `now` is in the time zone of the scale.
    """

    device_id: DeviceId
    now: datetime
    except_plus: Collection[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Invalidate:
    """Invalidate the catalogue: it may belong to another scale."""

    device_id: DeviceId
    reason: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Revert:
    """Restore an earlier revision: its `document`, stored as `content`."""

    device_id: DeviceId
    to_revision: int
    content: str
    document: Document
    reverted_by: str
    now: datetime
    limits: Limits = PERMISSIVE
    being_read: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirm:
    """Record that the scale holds a revision, whose MD5 is `content`."""

    device_id: DeviceId
    operation_id: OperationId
    revision: int
    content: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RevokeConfirmation:
    """Record that the scale may not hold the confirmed revision.

    `content` is the MD5 of what it holds, None if that is unknown.
    """

    device_id: DeviceId
    operation_id: OperationId
    content: str | None
    now: datetime


CatalogueCommand: TypeAlias = (
    TakeFetched
    | Edit
    | TakePrice
    | SetMessage
    | DropMessage
    | RefreshDates
    | Invalidate
    | Revert
    | Confirm
    | RevokeConfirmation
)


def evolve(
    catalogue: Catalogue, event: ScaleBridgeEvent, contents: Mapping[str, Document] | None = None
) -> Catalogue:
    """See `Decider`. `contents` are the documents that events name by MD5."""
    match event:
        case CatalogueFetched(revision=revision, content=content):
            return replace(
                catalogue,
                revision=revision,
                confirmed=revision,
                since=catalogue.since if catalogue.valid else revision,
                valid=True,
                on_scale=content,
                document=(contents or {}).get(content),
            )
        case CatalogueReverted(revision=revision, content=content):
            return replace(catalogue, revision=revision, document=(contents or {}).get(content))
        case ProductEdited(revision=revision, plu=plu, after=after):
            document, taken = (
                _edit(catalogue.document, plu, after),
                _with_plu(catalogue.taken, event),
            )
            return replace(catalogue, revision=revision, document=document, taken=taken)
        case MessageEdited() | DatesRefreshed():
            return replace(
                catalogue, revision=event.revision, document=_amended(catalogue.document, event)
            )
        case CatalogueInvalidated(revision=revision):
            return replace(catalogue, revision=revision, valid=False, on_scale=None, taken={})
        case CatalogueConfirmed() | CatalogueDoubted():
            held = event.revision if isinstance(event, CatalogueConfirmed) else 0
            return replace(catalogue, confirmed=held, on_scale=event.content)
        case PriceTaken() | PriceOverridden():
            return replace(catalogue, taken=_with_price(catalogue.taken, event))
        case _:
            # Devices, operations and schedules have streams of their own.
            return catalogue


def _edit(document: Document | None, plu: str, after: Mapping[str, Any]) -> Document | None:
    position = None if document is None else position_of(document, plu)
    if document is None or position is None:
        return document
    items = list(products(document))
    items[position] = {**items[position], **after}
    return {**document, "products": items}


def _amended(document: Document | None, event: MessageEdited | DatesRefreshed) -> Document | None:
    if isinstance(event, MessageEdited):
        return _with_message(document, event.message, event.after)
    return _with_dates(document, event.dates)


def _with_message(
    document: Document | None, message: str, after: Mapping[str, Any]
) -> Document | None:
    """The document with this entry instead of the message, or appended."""
    if document is None:
        return None
    rows = list(document.get(MESSAGES) or ())
    positions = [n for n, row in enumerate(rows) if has_id(row, message)]
    for position in positions:
        rows[position] = after
    return {**document, MESSAGES: rows if positions else [*rows, after]}


def _with_dates(document: Document | None, dates: Mapping[str, tuple[str, str]]) -> Document | None:
    if document is None:
        return None

    def dated(item: Product) -> Product:
        new = dates.get(key_of(item))
        return item if new is None else {**item, **dict(zip(DATES, new, strict=True))}

    return {**document, "products": [dated(item) for item in products(document)]}


def plu_after(event: ProductEdited) -> str:
    """The PLU of a product after an edit."""
    return text_of(event.after.get("pluNumber")) or event.plu


def _with_price(
    taken: Mapping[str, TakenPrice], event: PriceTaken | PriceOverridden
) -> Mapping[str, TakenPrice]:
    if isinstance(event, PriceOverridden):
        known = taken.get(event.plu)
        return taken if known is None else {**taken, event.plu: replace(known, overridden=True)}
    return {**taken, event.plu: taken_price(event, event.revision)}


def _with_plu(taken: Mapping[str, TakenPrice], event: ProductEdited) -> Mapping[str, TakenPrice]:
    plu = plu_after(event)
    if plu == event.plu or event.plu not in taken:
        return taken
    return {**{key: one for key, one in taken.items() if key != event.plu}, plu: taken[event.plu]}
