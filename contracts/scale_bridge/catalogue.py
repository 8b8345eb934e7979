"""Events about the catalogue of a scale: what was fetched, edited, confirmed, and priced.

An event names the contents of a catalogue by their MD5 (`content`), since it cannot carry ten
thousand products.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from contracts.scale_bridge.devices import DeviceId
from contracts.scale_bridge.operations import OperationId

CATALOGUES: Final = "scale-bridge.catalogue"


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueFetched:
    """The contents of the scale became the catalogue. The revision before stays recoverable."""

    device_id: DeviceId
    revision: int
    content: str
    items: int
    operation_id: OperationId
    fetched_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductEdited:
    """Fields of a product were changed; None means that a field is absent.

    `source` is `person`, `price` or `revert`.
    """

    device_id: DeviceId
    revision: int
    plu: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    source: str
    edited_by: str
    edited_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageEdited:
    """A message, a text for labels, was changed; `message` is its id as text.

    `before` and `after` are the whole entry as it is sent to the scale: None before it existed,
    marked as `deleted` after it was removed.
    """

    device_id: DeviceId
    revision: int
    message: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    edited_by: str
    edited_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DatesRefreshed:
    """A run of auto-update set manufacture and sell-by dates, by PLU, in the scale's format.

    `left_alone` counts the products without a change.
    """

    device_id: DeviceId
    revision: int
    dates: Mapping[str, tuple[str, str]]
    left_alone: int
    refreshed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueInvalidated:
    """The catalogue may be that of another scale: it is not uploaded until it is fetched again."""

    device_id: DeviceId
    revision: int
    reason: str
    invalidated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueReverted:
    """The catalogue of an earlier revision was restored as a new revision."""

    device_id: DeviceId
    revision: int
    content: str
    items: int
    to_revision: int
    reverted_by: str
    reverted_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueConfirmed:
    """The scale confirmed that it holds this revision."""

    device_id: DeviceId
    revision: int
    content: str
    operation_id: OperationId
    confirmed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueDoubted:
    """The scale may not hold the revision it confirmed, after a differing read or a failed upload.

    `content` is what it held instead, None if unknown.
    """

    device_id: DeviceId
    revision: int
    content: str | None
    operation_id: OperationId
    doubted_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceTaken:
    """A price of the shop was applied to the catalogue in `revision`.

    `changed` if the catalogue had another price before; then an edit was appended with this event.
    It is appended again for the same price after the scale showed another one and was corrected.
    `price` is in the scale's format, `price_id` is the shop's.
    """

    price_id: UUID
    device_id: DeviceId
    article: int
    plu: str
    price: float
    changed: bool
    revision: int
    valid_at: datetime
    announced_at: datetime
    taken_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceOverridden:
    """A person set another price than the shop's, which holds until the shop's next price."""

    price_id: UUID
    device_id: DeviceId
    article: int
    plu: str
    price: float | None
    revision: int
    overridden_by: str
    overridden_at: datetime
