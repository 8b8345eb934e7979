"""Facts the scale bridge announces: which scales there are, what they shall and do show.

What a catalogue holds is kept apart and named by its MD5 (`content`): an event would not carry
ten thousand products.

Longer than most: one list of all that happens to a scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, NewType, TypeAlias
from uuid import UUID

DEVICES: Final = "scale-bridge.device"
CATALOGUES: Final = "scale-bridge.catalogue"
OPERATIONS: Final = "scale-bridge.operation"
SCHEDULES: Final = "scale-bridge.schedule"
SHOWN: Final = "scale-bridge.shown"
BARCODES: Final = "scale-bridge.barcode"

DeviceId = NewType("DeviceId", UUID)
OperationId = NewType("OperationId", UUID)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceRegistered:
    """A scale is known from now on. `password` is sealed, `owner` an account.

    `number` is what its clients call it. `bridge` is the daemon that reaches it, None if the
    service itself does.
    """

    device_id: DeviceId
    number: int
    owner: UUID
    name: str
    description: str
    ip: str
    port: int
    protocol: str
    password: str
    bridge: UUID | None
    registered_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceChanged:
    """All of what may change, as it is now; `password` is sealed."""

    device_id: DeviceId
    name: str
    description: str
    ip: str
    port: int
    protocol: str
    password: str
    bridge: UUID | None
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceRemoved:
    """The scale is nobody's any more."""

    device_id: DeviceId
    removed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceProfiled:
    """What a scale is, all of it as it is now; an empty text says that nobody knows.

    `model` names its limits. It has to be verified again by the day `next_verification`.
    """

    device_id: DeviceId
    shop: str
    group: str
    price_list: str
    model: str
    serial_number: str
    next_verification: date | None
    profiled_by: str
    profiled_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class VerificationDue:
    """The scale has to be verified on `due_on`, in `days` days or fewer; 0 for now, or before."""

    device_id: DeviceId
    due_on: date
    days: int
    announced_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StrictnessSet:
    """From now on these rules, and no others, are not kept by what is read from this scale.

    Rules: chunks, hash, unique_keys, finite_numbers, unique_plus.
    """

    device_id: DeviceId
    relaxed: tuple[str, ...]
    reason: str
    set_by: str
    set_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueFetched:
    """What the scale held became the catalogue; the revision before stays recoverable."""

    device_id: DeviceId
    revision: int
    content: str
    items: int
    operation_id: OperationId
    fetched_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductEdited:
    """Somebody, or a price from elsewhere, changed fields of one product; None is "not there".

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
    """Somebody changed a text that labels carry beside products; `message` is its id, as text.

    Both are the whole entry as the scale is told it: None before it was there, marked as `deleted`
    after it was taken away.
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
    """A run of auto-update set manufacture and sell-by dates, per PLU, in the scale's spelling."""

    device_id: DeviceId
    revision: int
    dates: Mapping[str, tuple[str, str]]
    left_alone: int
    refreshed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueInvalidated:
    """The catalogue may belong to another scale now: it is not sent until fetched again."""

    device_id: DeviceId
    revision: int
    reason: str
    invalidated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueReverted:
    """Somebody brought back what the catalogue was at an earlier revision, as a new one."""

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
    """The scale may not hold the revision it confirmed: a read showed it, or an upload broke off.

    `content` is what it held instead, None if nobody knows.
    """

    device_id: DeviceId
    revision: int
    content: str | None
    operation_id: OperationId
    doubted_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceTaken:
    """What the shop said an article costs is what the scale shall show, in `revision`.

    `changed` if it was to show something else before; then the edit was appended with it. Told
    again for the same price after the scale was found to show another one, and was corrected.
    `price` is as scales write it, `price_id` the shop's.
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
    """A person wants another price than the shop's here, until the shop says something new."""

    price_id: UUID
    device_id: DeviceId
    article: int
    plu: str
    price: float | None
    revision: int
    overridden_by: str
    overridden_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationQueued:
    """Something is to be done with a scale, until `deadline_at`.

    `kind` is fetch, upload, verify, probe or refresh (dates, then upload); `full` uploads replace
    the scale's products, others send what differs. `asked_by` is an account, or `schedule`, `heal`
    or `price`. `catalogue_revision` is the last revision of the catalogue that a caller who
    asks for a reading could know: later ones outlive the reading. None in older events.
    """

    operation_id: OperationId
    device_id: DeviceId
    kind: str
    full: bool
    asked_by: str
    bridge: UUID | None
    queued_at: datetime
    deadline_at: datetime
    catalogue_revision: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationSending:
    """A bridge holds the scale and has begun; an attempt after the first begins again."""

    operation_id: OperationId
    device_id: DeviceId
    holder: str
    attempt: int
    revision: int | None
    began_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationApplied:
    """The scale confirmed an import; what it shows is not yet read back."""

    operation_id: OperationId
    device_id: DeviceId
    revision: int
    content: str
    items: int
    applied_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationEnded:
    """The one last word about an operation.

    `outcome` is done, verified, failed or unknown. `code` is stable and empty if it went well,
    `detail` for people, `result` the scale's own code. `content` is the MD5 of what was moved.
    """

    operation_id: OperationId
    device_id: DeviceId
    kind: str
    outcome: str
    code: str
    detail: str
    result: int | None
    revision: int | None
    content: str | None
    items: int | None
    attempts: int
    ended_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductsShown:
    """A completed read showed that products changed on the scale, for PLU after PLU.

    `shown` holds what counts of a product (name, price, shelf life, dates); `gone` is shown no
    more. Parts of one read are told apart by `part`.
    """

    device_id: DeviceId
    operation_id: OperationId
    part: int
    shown: Mapping[str, Mapping[str, Any]]
    gone: tuple[str, ...]
    seen_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleCalendar:
    """Times of day (`HH:MM`, ascending) on `weekdays` (`mon` to `sun`), by the clock of `zone`.

    Each run comes up to `jitter_minutes` later. `missed` is `run` (one makes up for all) or `skip`
    (what is more than `grace_minutes` late is left out).
    """

    at: tuple[str, ...]
    weekdays: tuple[str, ...]
    zone: str
    jitter_minutes: int
    missed: str
    grace_minutes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleSet:
    """Auto-update of a scale was switched or timed; `next_run_at` is None while disabled.

    With a `calendar` the interval is only what it was before.
    """

    device_id: DeviceId
    enabled: bool
    interval_minutes: int
    next_run_at: datetime | None
    set_by: str
    set_at: datetime
    calendar: ScheduleCalendar | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleClaimed:
    """A run is due and somebody does it, as this operation; the next is due at `next_run_at`.

    `slot` is the time of the calendar it stands for, the last one if it makes up for several. What
    comes late begins at `begins_at`, a little after it was claimed: not all that was missed begins
    at once. None if it begins when it is claimed.
    """

    device_id: DeviceId
    operation_id: OperationId
    next_run_at: datetime
    claimed_at: datetime
    slot: datetime | None = None
    begins_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleSkipped:
    """So many `runs` were left out, the first of them `due_at`; the next is due at `next_run_at`.

    `late_seconds` is how late that first one was, `reason` a code: `late`.
    """

    device_id: DeviceId
    due_at: datetime
    late_seconds: float
    runs: int
    reason: str
    next_run_at: datetime
    skipped_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleRan:
    """What became of a run: `status` is OK or ERROR, `error` the device's text."""

    device_id: DeviceId
    operation_id: OperationId
    status: str
    error: str | None
    ran_at: datetime
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class BarcodeRule:
    """How labels with `prefix` are read: so many digits of article code, then a measure.

    EAN-13: prefix, `code_digits`, a check digit of the measure if `price_check_digit`,
    `measure_digits`, and the check digit of all. `measure` is `weight_g`, `price_minor` or `count`.
    """

    name: str
    prefix: str
    code_digits: int
    measure: str
    measure_digits: int
    price_check_digit: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class BarcodeRulesSet:
    """From now on an owner's labels of variable measure are read by these rules, and no others.

    They are those of `set_by` alone; in a stream named after the tenant, where they once were,
    those of everybody in it. No prefix begins with another's.
    """

    rules: tuple[BarcodeRule, ...]
    set_by: str
    set_at: datetime


ScaleBridgeEvent: TypeAlias = (
    DeviceRegistered
    | DeviceChanged
    | DeviceRemoved
    | DeviceProfiled
    | VerificationDue
    | StrictnessSet
    | CatalogueFetched
    | ProductEdited
    | MessageEdited
    | DatesRefreshed
    | CatalogueInvalidated
    | CatalogueReverted
    | CatalogueConfirmed
    | CatalogueDoubted
    | PriceTaken
    | PriceOverridden
    | OperationQueued
    | OperationSending
    | OperationApplied
    | OperationEnded
    | ProductsShown
    | ScheduleSet
    | ScheduleClaimed
    | ScheduleSkipped
    | ScheduleRan
    | BarcodeRulesSet
)
EVENTS: Final = (
    DeviceRegistered,
    DeviceChanged,
    DeviceRemoved,
    DeviceProfiled,
    VerificationDue,
    StrictnessSet,
    CatalogueFetched,
    ProductEdited,
    MessageEdited,
    DatesRefreshed,
    CatalogueInvalidated,
    CatalogueReverted,
    CatalogueConfirmed,
    CatalogueDoubted,
    PriceTaken,
    PriceOverridden,
    OperationQueued,
    OperationSending,
    OperationApplied,
    OperationEnded,
    ProductsShown,
    ScheduleSet,
    ScheduleClaimed,
    ScheduleSkipped,
    ScheduleRan,
    BarcodeRulesSet,
)
