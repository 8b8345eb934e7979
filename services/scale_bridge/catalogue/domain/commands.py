"""What may be asked of the stored copy of a catalogue.

While the scale is `being_read`, what people want is an event even where the copy has it already:
what is read may be something else, and gives way to it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from contracts.scale_bridge import DeviceId, OperationId, ScaleBridgeEvent
from services.scale_bridge.catalogue.domain.model import PERMISSIVE, Limits
from services.scale_bridge.catalogue.domain.shop_price import ShopPrice
from services.scale_bridge.driver.domain.document import Document


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeFetched:
    """A scale was read: that is the catalogue now, with the `changes` since that was ordered."""

    device_id: DeviceId
    operation_id: OperationId
    content: str
    document: Document
    now: datetime
    changes: Sequence[ScaleBridgeEvent] = ()
    being_read: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """Set fields of the product with a PLU, as `source` (`person` or `price`) wants it.

    `limits` are those of the scale's model.
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
    """The shop said what an article costs, which is the product with a PLU here.

    A person who set another price while that was on its way, `set_by`, overrules it.
    """

    device_id: DeviceId
    plu: str
    price: ShopPrice
    now: datetime
    limits: Limits = PERMISSIVE
    set_by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SetMessage:
    """Have a text that labels may carry, new or another; `message` is its id, as text."""

    device_id: DeviceId
    message: str
    value: str
    edited_by: str
    now: datetime
    limits: Limits = PERMISSIVE
    being_read: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DropMessage:
    """Have a text no more, which no label carries."""

    device_id: DeviceId
    message: str
    edited_by: str
    now: datetime
    being_read: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RefreshDates:
    """Have everything made today (R13), but for the products with the PLUs in `but`.

    `now` is in the zone whose day counts.
    """

    device_id: DeviceId
    now: datetime
    but: Collection[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Invalidate:
    """The copy may belong to another scale from now on."""

    device_id: DeviceId
    reason: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Revert:
    """Bring an earlier revision back, which was `document`, kept as `content`."""

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
    """The scale holds a revision, whose content is `content`."""

    device_id: DeviceId
    operation_id: OperationId
    revision: int
    content: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """The scale may not hold what it confirmed; `content` is what it has, None if unknown."""

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
    | Doubt
)
