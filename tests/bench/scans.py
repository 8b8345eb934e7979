"""Scans by the thousand: as devices send them, and as the log holds them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from contracts.ingest import EVENTS, IngestEvent, ScanId, ScanRecorded
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.store import Fact
from services.ingest.domain import identity

TENANT: Final = "demo"
ZONE: Final = ZoneInfo("Europe/Moscow")
OPERATORS: Final = 100
CLIENTS: Final = 20
CITIES: Final = 5
BOX_SIZE: Final = 40
CODEC: Final = Codec[IngestEvent](EVENTS)

COLUMNS: Final = (
    "event_id",
    "tenant",
    "stream",
    "version",
    "type",
    "schema_version",
    "data",
    "metadata",
    "occurred_at",
)
METADATA: Final = (
    '{"actor":"bench","correlation_id":"0199f5a0-7c1e-7a52-9d53-0d6f4f6f1f5e",'
    '"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}'
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Said:
    """What the n-th scan says: every operator fills box after box, client after client."""

    kind: str
    operator: str
    client: str
    city: str
    box: str


def _said(n: int) -> _Said:
    operator, step = n % OPERATORS, n // OPERATORS
    box, place = divmod(step, BOX_SIZE)
    client = f"client-{(operator + box // 10) % CLIENTS:02}"
    kind = {0: "BOX", BOX_SIZE - 1: "CLOSE"}.get(place, "ERROR" if place == 7 else "ITEM")
    return _Said(
        kind=kind,
        operator=f"operator-{operator:03}",
        client=client,
        city=f"city-{operator % CITIES}",
        box=f"{client}/{operator}-{box}",
    )


def batches(count: int, *, size: int) -> Iterator[tuple[str, bytes]]:
    """Bodies of `size` new scans made now, each of one operator, with the id of its first."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    for n in range(count):
        said = _said(n)
        ids = [str(uuid4()) for _ in range(size)]
        # Written out, because a body must not cost the generator more than its sending.
        end = (
            f'","ts":{now},"type":"ITEM","operator":"{said.operator}","client":"{said.client}",'
            f'"city":"{said.city}","box":"{said.box}","code":"2042469234860","details":"",'
            '"source":"pwa"}'
        )
        yield ids[0], ('{"events":[{"uuid":"' + f'{end},{{"uuid":"'.join(ids) + end + "]}").encode()


def facts(count: int, *, seed: int = 1) -> Iterator[Fact[IngestEvent]]:
    """Scans of today up to now, in the order they were made; the same ids for the same seed."""
    chance, namespace = random.Random(seed), identity.namespace(TENANT)
    now = datetime.now(UTC)
    midnight = now.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    span = min(now - midnight, timedelta(hours=8))
    for n in range(count):
        said, at = _said(n), now - span * (1 - n / count)
        scan_id = ScanId(UUID(int=chance.getrandbits(128), version=4))
        scan = ScanRecorded(
            scan_id=scan_id,
            kind=said.kind,
            operator=said.operator,
            client=said.client,
            city=said.city,
            box=said.box,
            code=f"20424692{n % 100_000:05}",
            details=None,
            source="pwa",
            scanned_at=at,
            received_at=at,
            effective_at=at,
            skewed=False,
        )
        yield Fact(
            event_id=identity.scan_event(namespace, scan_id),
            stream=identity.scan_stream(namespace, said.operator),
            event=scan,
            occurred_at=at,
        )


def row(fact: Fact[IngestEvent], *, version: int | None = None) -> tuple[Any, ...]:
    """A fact as the log keeps it, in the order of `COLUMNS`."""
    kind, schema_version, data = CODEC.encode(fact.event)
    return (
        fact.event_id,
        TENANT,
        fact.stream,
        version,
        kind,
        schema_version,
        data.decode(),
        METADATA,
        fact.occurred_at,
    )


def pages(rows: Iterator[tuple[Any, ...]], size: int) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows in lists of `size`."""
    while page := list(islice(rows, size)):
        yield page
