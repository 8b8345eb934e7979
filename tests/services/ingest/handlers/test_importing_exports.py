"""Whatever scans there are, what we export of them is imported as the same scans."""

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.ingest import EVENTS, IngestEvent, ScanId, ScanRecorded
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.memory import MemoryLog
from libs.eventsourcing.store import EventStore
from services.ingest.domain.scan import SKEW
from tests.services.ingest.importing import Importer, numbers, our_csv, stored
from tests.services.ingest.told import ZONE, a_scan

NOW = datetime(2026, 11, 21, tzinfo=UTC)
UTC_ZONE = ZoneInfo("UTC")

letters = st.characters(codec="utf-8", exclude_characters="\0")
awkward = st.text(st.sampled_from("'=+-@\t\r\n\";, aя") | letters, max_size=12)
named = awkward.filter(str.strip)
moments = st.datetimes(
    datetime(2015, 1, 2),  # noqa: DTZ001 -- hypothesis adds the zone
    datetime(2026, 11, 20),  # noqa: DTZ001
    timezones=st.just(UTC),
).map(lambda moment: moment.replace(microsecond=0))
lags = st.integers(-7200, 7200).map(lambda seconds: timedelta(seconds=seconds))


@st.composite
def scans(draw: st.DrawFn) -> ScanRecorded:
    scanned_at = draw(moments)
    received_at = scanned_at + draw(lags)
    skewed = scanned_at > received_at + SKEW
    return a_scan(
        scan_id=ScanId(draw(st.uuids())),
        kind=draw(st.sampled_from(["ITEM", "BOX", "REMOVE"]) | named),
        operator=draw(named),
        client=draw(awkward),
        city=draw(awkward),
        box=draw(awkward),
        code=draw(awkward | st.just("2.04247E+12")),
        details=draw(awkward) or None,
        source=draw(named | st.just("pwa")),
        scanned_at=scanned_at,
        received_at=received_at,
        effective_at=received_at if skewed else scanned_at,
        skewed=skewed,
    )


@pytest.mark.parametrize("zone", [ZONE, UTC_ZONE], ids=str)
@settings(deadline=None, max_examples=60)
@given(told=st.lists(scans(), max_size=8, unique_by=lambda scan: scan.scan_id))
def test_an_export_is_imported_as_what_it_is_of(zone: ZoneInfo, told: list[ScanRecorded]) -> None:
    store = EventStore(MemoryLog(), Codec[IngestEvent](EVENTS))

    async def imported() -> list[IngestEvent]:
        with TemporaryDirectory() as folder:
            path = our_csv(Path(folder) / "export.csv", told, zone)
            importer = Importer(store, lambda: NOW, zone=zone)
            (account,) = (await importer(path)).accounts
        assert (account.fault, numbers(account)) == (None, (len(told), len(told), 0, 0))
        return await stored(store)

    found = asyncio.run(imported())

    assert {scan.scan_id: scan for scan in found if isinstance(scan, ScanRecorded)} == {
        scan.scan_id: dataclasses.replace(scan, source=scan.source or "pwa") for scan in told
    }
