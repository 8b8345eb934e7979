"""The fast path for a batch without faults and rarities, which nearly all batches are.

Its facts equal those of `domain.scan.validate` and the codec byte for byte, in a third of the time:
one decoder checks all shapes and lengths, and no dataclass is created. Any other batch goes through
`body` and `validate`.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

from contracts.ingest import ScanRecorded
from libs.eventsourcing.log import NewFact
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.scan import EPOCH, LAST_MS, LIMITS, SKEW, milliseconds
from services.ingest.scans.handlers.body import LONGEST_BATCH

_Type: TypeAlias = Annotated[str, Meta(max_length=LIMITS["type"])]
_Name: TypeAlias = Annotated[str, Meta(max_length=LIMITS["operator"])]
_Code: TypeAlias = Annotated[str, Meta(max_length=LIMITS["code"])]
_Details: TypeAlias = Annotated[str, Meta(max_length=LIMITS["details"])]
_Source: TypeAlias = Annotated[str, Meta(max_length=LIMITS["source"])]

_SCAN_ID: Final = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_VERSION: Final[int] = getattr(ScanRecorded, "schema_version", 1)
_encode: Final = msgspec.json.Encoder().encode


class _Event(msgspec.Struct, gc=False):
    """The fields of `domain.scan.Reading`, with the id as a text."""

    uuid: str
    ts: int
    type: _Type
    operator: _Name
    client: _Name = ""
    city: _Name = ""
    box: _Name = ""
    code: _Code = ""
    details: _Details | None = None
    source: _Source = "pwa"


class _Batch(msgspec.Struct):
    events: Annotated[list[_Event], Meta(min_length=1, max_length=LONGEST_BATCH)]


class _Scan(msgspec.Struct, gc=False):
    """The fields of `ScanRecorded`, in its order."""

    scan_id: str
    kind: str
    operator: str
    client: str
    city: str
    box: str
    code: str
    details: str | None
    source: str
    scanned_at: datetime
    received_at: datetime
    effective_at: datetime
    skewed: bool


_decode: Final = msgspec.json.Decoder(_Batch).decode


def fast_path_facts(
    body: bytes, namespace: UUID, received_at: datetime, not_before: datetime
) -> Sequence[NewFact] | None:
    """The facts of a batch in its order, with repeats; None if the batch needs the usual path."""
    if b"\\u0000" in body or b"\0" in body:
        return None
    try:
        body.decode()  # msgspec does not check texts it skips
        events = _decode(body).events
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    first, is_id = milliseconds(not_before), _SCAN_ID.fullmatch
    if not all(first <= one.ts <= LAST_MS and is_id(one.uuid) for one in events):
        return None
    return _facts(events, namespace, received_at)


def _facts(events: Sequence[_Event], namespace: UUID, received_at: datetime) -> Sequence[NewFact]:
    latest, event_of = received_at + SKEW, identity.scan_events(namespace)
    operator = stream = None
    facts = []
    for one in events:
        if one.operator != operator or stream is None:
            operator = one.operator
            stream = identity.scan_stream(namespace, operator)
        scanned_at = EPOCH + timedelta(0, 0, 0, one.ts)
        skewed = scanned_at > latest
        effective_at = received_at if skewed else scanned_at
        scan = _Scan(
            one.uuid,
            one.type,
            one.operator,
            one.client,
            one.city,
            one.box,
            one.code,
            one.details,
            one.source or "pwa",
            scanned_at,
            received_at,
            effective_at,
            skewed,
        )
        facts.append(
            NewFact(
                event_id=event_of(one.uuid),
                type="ScanRecorded",
                schema_version=_VERSION,
                data=_encode(scan),
                occurred_at=effective_at,
                stream=stream,
            )
        )
    return facts
