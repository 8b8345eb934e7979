"""How the stored copy of a catalogue came to be: what each event makes of it.

Events name whole catalogues by their MD5 only. Whoever folds them brings the contents along: one
that is missing leaves the copy without a document, which later edits do not mend.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from contracts.scale_bridge import (
    CatalogueConfirmed,
    CatalogueDoubted,
    CatalogueFetched,
    CatalogueInvalidated,
    CatalogueReverted,
    DatesRefreshed,
    MessageEdited,
    PriceOverridden,
    PriceTaken,
    ProductEdited,
    ScaleBridgeEvent,
)
from services.scale_bridge.catalogue.domain.label import with_message
from services.scale_bridge.catalogue.domain.shop_price import Taken
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
    """The copy as it stands. `valid` until the scale's address changes, from its fetch on.

    `confirmed` is the last revision the scale is known to have held, `on_scale` the content it then
    had. Revisions before `since` are of another scale. `taken` are the shop's last prices, by PLU.
    """

    revision: int = 0
    confirmed: int = 0
    since: int = 1
    valid: bool = False
    on_scale: str | None = None
    document: Document | None = None
    taken: Mapping[str, Taken] = field(default_factory=dict)

    @property
    def dirty(self) -> bool:
        """Whether the scale may show something else (R8)."""
        return self.revision != self.confirmed

    @property
    def current_document(self) -> Document:
        """The catalogue as people see it, empty while there is none."""
        return self.document if self.valid and self.document is not None else {"products": []}


def evolve(
    copy: Catalogue, event: ScaleBridgeEvent, contents: Mapping[str, Document] | None = None
) -> Catalogue:
    """See `Decider`. `contents` are the catalogues that events name."""
    match event:
        case CatalogueFetched(revision=revision, content=content):
            return replace(
                copy,
                revision=revision,
                confirmed=revision,
                since=copy.since if copy.valid else revision,
                valid=True,
                on_scale=content,
                document=(contents or {}).get(content),
            )
        case CatalogueReverted(revision=revision, content=content):
            return replace(copy, revision=revision, document=(contents or {}).get(content))
        case ProductEdited(revision=revision, plu=plu, after=after):
            document, taken = _edit(copy.document, plu, after), _renumber(copy.taken, event)
            return replace(copy, revision=revision, document=document, taken=taken)
        case MessageEdited() | DatesRefreshed():
            return replace(copy, revision=event.revision, document=_amended(copy.document, event))
        case CatalogueInvalidated(revision=revision):
            return replace(copy, revision=revision, valid=False, on_scale=None, taken={})
        case CatalogueConfirmed() | CatalogueDoubted():
            held = event.revision if isinstance(event, CatalogueConfirmed) else 0
            return replace(copy, confirmed=held, on_scale=event.content)
        case PriceTaken() | PriceOverridden():
            return replace(copy, taken=_priced(copy.taken, event))
        case _:
            # Devices, operations and schedules have streams of their own.
            return copy


def _edit(document: Document | None, plu: str, after: Mapping[str, Any]) -> Document | None:
    place = None if document is None else position_of(document, plu)
    if document is None or place is None:
        return document
    items = list(products(document))
    items[place] = {**items[place], **after}
    return {**document, "products": items}


def _amended(document: Document | None, event: MessageEdited | DatesRefreshed) -> Document | None:
    if isinstance(event, MessageEdited):
        return with_message(document, event.message, event.after)
    return _date(document, event.dates)


def _date(document: Document | None, dates: Mapping[str, tuple[str, str]]) -> Document | None:
    if document is None:
        return None

    def dated(item: Product) -> Product:
        new = dates.get(key_of(item))
        return item if new is None else {**item, **dict(zip(DATES, new, strict=True))}

    return {**document, "products": [dated(item) for item in products(document)]}


def renumbered(event: ProductEdited) -> str:
    """The PLU of an edited product from then on."""
    return text_of(event.after.get("pluNumber")) or event.plu


def _priced(taken: Mapping[str, Taken], event: PriceTaken | PriceOverridden) -> Mapping[str, Taken]:
    if isinstance(event, PriceOverridden):
        known = taken.get(event.plu)
        return taken if known is None else {**taken, event.plu: replace(known, overridden=True)}
    names = ("price_id", "article", "price", "valid_at", "announced_at", "revision")
    return {**taken, event.plu: Taken(**{name: getattr(event, name) for name in names})}


def _renumber(taken: Mapping[str, Taken], event: ProductEdited) -> Mapping[str, Taken]:
    plu = renumbered(event)
    if plu == event.plu or event.plu not in taken:
        return taken
    return {**{key: one for key, one in taken.items() if key != event.plu}, plu: taken[event.plu]}
