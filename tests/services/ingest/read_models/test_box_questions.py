"""Whatever is asked of boxes is answered as by looking at every event."""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import product
from random import Random
from typing import Any
from uuid import UUID

import pytest
from tests.services.ingest.told import NOON, ZONE, a_scan, in_envelope, project

from contracts.ingest import IngestEvent, ItemRemoved, ScanRecorded
from libs.postgres.pool import Pool
from services.ingest.domain.day import Days
from services.ingest.domain.question import Question
from services.ingest.read_models import box
from services.ingest.read_models.box import FoundBox, Total
from tests.services.ingest import folded

FRIDAY = date(2025, 10, 31)
ASKED = product(
    (
        Days(first=FRIDAY, last=FRIDAY),
        Days(first=date(2025, 11, 3), last=date(2025, 11, 3)),
        Days(first=date(2025, 11, 2), last=date(2025, 11, 5)),
    ),
    (None, "anna", ""),
    (None, "petrov", ""),
    (None, "Novosem", ""),
)
QUESTIONS = [
    Question(tenant="demo", days=days, operator=operator, client=client, city=city)
    for days, operator, client, city in ASKED
]


def removal(scan: ScanRecorded) -> ItemRemoved:
    return ItemRemoved(
        scan=scan, removal_id=UUID(int=1), removed_at=NOON, removed_by="vera", reason=""
    )


def a_week(random: Random) -> tuple[list[ScanRecorded], set[ScanRecorded]]:
    """Scans of few labels with many equal times, around midnight and over days."""
    scans = [
        a_scan(
            n,
            kind=random.choice(["ITEM", "ITEM", "BOX", "CLOSE", "AUTO_CLOSE", "ERROR", "REMOVE"]),
            operator=random.choice(["anna", "boris", ""]),
            client=random.choice(["ivancov", "petrov", ""]),
            city=random.choice(["Novosem", ""]),
            box=random.choice(["ivancov/8", "ivancov/10", "a/b/7", "9", ""]),
            scanned_at=NOON
            + timedelta(days=random.randrange(8), hours=random.choice((-12, -3, 0, 11))),
            received_at=NOON + timedelta(days=9, seconds=random.randrange(2)),
        )
        for n in range(random.choice([60, 400]))
    ]
    items = [scan for scan in scans if scan.kind == "ITEM"]
    return scans, set(random.sample(items, len(items) // 4))


def as_folded(found: Sequence[FoundBox]) -> list[dict[str, Any]]:
    return [
        {
            "client": one.client,
            "city": one.city,
            "label": one.label,
            "day": one.day,
            "count": one.tally.items,
            "first_at": one.tally.first_at,
            "last_at": one.tally.last_at,
            "operators": one.operators,
            "standing": one.standing,
            "continued": one.continued,
            "items": [row["scan_id"] for row in one.items],
        }
        for one in found
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_every_question_is_answered_as_by_looking_at_every_event(
    pool: Pool, seed: int
) -> None:
    random = Random(seed)
    scans, removed = a_week(random)
    events: list[IngestEvent] = [*scans, *(removal(scan) for scan in removed)]
    random.shuffle(events)
    while events:
        size = random.randrange(1, 60)
        await project(pool, [in_envelope(event) for event in events[:size]])
        events = events[size:]
    told = [scan for scan in scans if scan.kind != "REMOVE"]

    brought_along = 0
    for question in QUESTIONS:
        expected = folded.boxes(told, removed, question, ZONE)
        async with pool.acquire() as connection:
            found = await box.answer(connection, question, limit=1000, items=100)
        assert as_folded(found.boxes) == expected, question
        assert found.total() == Total(sum(one["count"] for one in expected), len(expected))
        brought_along += sum(one.continued for one in found.boxes)
    assert brought_along
