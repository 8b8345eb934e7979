"""The rules by which an event of a batch becomes a scan, or a fault.

`parse_event` checks the shape of any JSON value, `validate` applies the rules. A caller with a
faster decoder makes the `Reading` itself and calls `validate`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid5

from contracts.ingest import IngestEvent, ItemRemoved, RemovalRecorded, ScanId, ScanRecorded
from libs.names import comparable

ITEM: Final = "ITEM"
"""The only kind of scan that can be removed."""

SKEW: Final = timedelta(seconds=60)
"""How far a device's clock may be ahead before the scan is skewed."""

LIMITS: Final = {
    "type": 50,
    "operator": 100,
    "client": 100,
    "city": 100,
    "box": 100,
    "code": 500,
    "source": 50,
    "details": 65_536,
}
"""The longest texts, in characters. The contract has no limit for `details`; this one keeps records
within the size that Kafka accepts, far beyond what a device can scan."""

RAW_LIMIT: Final = 200_000
"""The stored part of a quarantined event, in characters, for the same reason."""

_NAMELESS: Final = UUID("6f5f4e0a-8a4c-5d6e-9b0a-5a1f6e0c7d11")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999 in Unix milliseconds, where `datetime` ends."""

_UUID: Final = re.compile(
    r"(?:urn:uuid:)?(\{)?([0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})(?(1)\})",
    re.IGNORECASE,
)
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_DIGITS: Final = re.compile(r"\s*\+?[0-9]{1,20}\s*", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """An event with the right shape, not yet validated. `ts` is Unix milliseconds.

    The field names are those of the JSON, so that a typed decoder can create it directly.
    """

    uuid: UUID | None = None
    ts: int
    type: str
    operator: str
    client: str = ""
    city: str = ""
    box: str = ""
    code: str = ""
    details: str | None = None
    source: str = "pwa"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Why an event is no scan: a stable code, a sentence for people, the id if it is readable."""

    code: str
    reason: str
    scan_id: ScanId | None = None


def parse_uuid(text: str) -> UUID | None:
    """The UUID, in any spelling and version; None for another text."""
    match = _UUID.fullmatch(text)
    return UUID(match[2]) if match else None


def parse_event(value: object) -> Reading | Fault:
    """Check the shape of a decoded JSON value.

    Optional texts may be missing or null and become empty. `timestamp` may replace `ts`. The
    number may be a text of digits.
    """
    if not isinstance(value, Mapping):
        return Fault(code="not_an_object", reason="an event must be a JSON object")
    given = value.get("uuid")
    uuid = parse_uuid(given) if isinstance(given, str) else None
    if uuid is None and given is not None:
        return Fault(code="bad_uuid", reason="uuid must be a UUID or left out")
    scan_id = None if uuid is None else ScanId(uuid)
    ts = _whole(
        value["timestamp"] if value.get("ts") is None and "timestamp" in value else value.get("ts")
    )
    if ts is None:
        return Fault(code="bad_ts", reason="ts must be Unix milliseconds", scan_id=scan_id)
    texts = {name: value.get(name, default) for name, default in _DEFAULTS.items()}
    texts |= {name: "" for name in _NULLABLE if texts[name] is None}
    for name, text in texts.items():
        if not isinstance(text, str) and not (name == "details" and text is None):
            fault = "missing_field" if text is None else "bad_text"
            return Fault(code=fault, reason=f"{name} must be a text", scan_id=scan_id)
    return Reading(uuid=uuid, ts=ts, **texts)


def validate(
    reading: Reading, *, received_at: datetime, not_before: datetime
) -> ScanRecorded | Fault:
    """The scan of a reading, or the rule that it breaks.

    A scan whose clock is more than `SKEW` ahead is skewed and counts at `received_at`. A time
    before `not_before` (seconds instead of milliseconds, an unset clock) is a fault. Without `uuid`
    the id follows from the content, so a retry has the same id.
    """
    fault = _unfit_text(reading) or _implausible(reading.ts, not_before)
    if fault:
        scan_id = None if reading.uuid is None else ScanId(reading.uuid)
        return Fault(code=fault[0], reason=fault[1], scan_id=scan_id)
    scanned_at = EPOCH + timedelta(milliseconds=reading.ts)
    skewed = scanned_at > received_at + SKEW
    return ScanRecorded(
        scan_id=ScanId(reading.uuid or _id_from_content(reading)),
        kind=reading.type,
        operator=reading.operator,
        client=reading.client,
        city=reading.city,
        box=reading.box,
        code=reading.code,
        details=reading.details,
        source=reading.source or "pwa",
        scanned_at=scanned_at,
        received_at=received_at,
        effective_at=received_at if skewed else scanned_at,
        skewed=skewed,
    )


def same_content(one: ScanRecorded, other: ScanRecorded) -> bool:
    """Whether two scans are the same, apart from receive time and the spelling of the operator."""
    return _content(one) == _content(other)


_DEFAULTS: Final[Mapping[str, str | None]] = {
    "type": None,
    "operator": None,
    "client": "",
    "city": "",
    "box": "",
    "code": "",
    "details": None,
    "source": "pwa",
}
_NULLABLE: Final = ("client", "city", "box", "code")


def _whole(value: object) -> int | None:
    match value:
        case bool():
            return None
        case int():
            return value
        case float() if value.is_integer():
            return int(value)
        case str() if _DIGITS.fullmatch(value):
            return int(value)
        case _:
            return None


def _fits(reading: Reading) -> bool:
    """Whether all texts are valid; one check for all of them, because they nearly always are."""
    details = reading.details or ""
    within = (
        len(reading.type) <= LIMITS["type"]
        and len(reading.operator) <= LIMITS["operator"]
        and len(reading.client) <= LIMITS["client"]
        and len(reading.city) <= LIMITS["city"]
        and len(reading.box) <= LIMITS["box"]
        and len(reading.code) <= LIMITS["code"]
        and len(reading.source) <= LIMITS["source"]
        and len(details) <= LIMITS["details"]
    )
    if not within:
        return False
    all_texts = (
        f"{reading.type}{reading.operator}{reading.client}{reading.city}{reading.box}"
        f"{reading.code}{reading.source}{details}"
    )
    return not _UNSTORABLE.search(all_texts)


def _unfit_text(reading: Reading) -> tuple[str, str] | None:
    if _fits(reading):
        return None
    texts = _texts(reading)
    for name, limit in LIMITS.items():
        if len(texts[name]) > limit:
            return "too_long", f"{name} is longer than {limit} characters"
    for name, text in texts.items():
        if "\0" in text:
            return "unstorable_text", f"{name} contains a NUL character"
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            return "unstorable_text", f"{name} contains half a character (a lone surrogate)"
    return None


def _texts(reading: Reading) -> dict[str, str]:
    return {name: getattr(reading, name) or "" for name in LIMITS}


def _implausible(ts: int, not_before: datetime) -> tuple[str, str] | None:
    if ts < milliseconds(not_before):
        return "implausible_ts", f"ts lies before {not_before:%Y-%m-%d}; it counts milliseconds"
    if ts > LAST_MS:
        return "implausible_ts", "ts lies behind the year 9999; it counts milliseconds"
    return None


@lru_cache(1)
def milliseconds(moment: datetime) -> int:
    """The moment in Unix milliseconds."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def _id_from_content(reading: Reading) -> UUID:
    return uuid5(_NAMELESS, json.dumps([reading.ts, *_texts(reading).values()]))


def _content(scan: ScanRecorded) -> tuple[object, ...]:
    return (
        scan.kind,
        comparable(scan.operator),
        scan.client,
        scan.city,
        scan.box,
        scan.code,
        scan.details or "",
        scan.source,
        scan.scanned_at,
    )


def as_scan(audit: RemovalRecorded) -> ScanRecorded:
    """The audit as a row among the scans (§2.5)."""
    return ScanRecorded(
        scan_id=ScanId(audit.removal_id),
        kind=audit.kind,
        operator=audit.operator,
        client=audit.client,
        city=audit.city,
        box=audit.box,
        code=audit.code,
        details=audit.reason,
        source="dashboard",
        scanned_at=audit.removed_at,
        received_at=audit.removed_at,
        effective_at=audit.removed_at,
        skewed=False,
    )


def logged_scan(event: IngestEvent) -> ScanRecorded | None:
    """The scan that an event records or removes, or an audit as a scan; None for other events."""
    match event:
        case ScanRecorded():
            return event
        case ItemRemoved(scan=scan):
            return scan
        case RemovalRecorded():
            return as_scan(event)
        case _:
            return None
