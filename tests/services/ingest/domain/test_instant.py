"""Instants as machines write them."""

from datetime import UTC, datetime

import pytest

from services.ingest.domain.instant import BadInstant, parse_instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025-10-31T12:00:00Z", datetime(2025, 10, 31, 12, tzinfo=UTC)),
        ("2025-10-31t12:00:00z", datetime(2025, 10, 31, 12, tzinfo=UTC)),
        ("2025-10-31 12:00:00+03:00", datetime(2025, 10, 31, 9, tzinfo=UTC)),
        ("2025-10-31T12:00:00 03:00", datetime(2025, 10, 31, 9, tzinfo=UTC)),
        ("2025-10-31T00:30:00-05:30", datetime(2025, 10, 31, 6, tzinfo=UTC)),
        ("2025-10-31T12:00:00.5Z", datetime(2025, 10, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2025-10-31T12:00:00.0000019Z", datetime(2025, 10, 31, 12, 0, 0, 1, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_with_its_offset_to_the_microsecond(
    text: str, instant: datetime
) -> None:
    assert parse_instant(text) == instant
    assert parse_instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-10-31",
        "2025-10-31T12:00:00",
        "2025-10-31T12:00Z",
        "2025-10-31T12:00:00+0300",
        "2025-10-31T24:00:01Z",
        "2025-10-31T12:00:60Z",
        "2025-02-30T12:00:00Z",
        "0001-01-01T00:00:00+23:00",
        "9999-12-31T23:59:59-23:00",
        "2025-10-31T12:00:00.Z",
        " 2025-10-31T12:00:00Z",
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInstant):
        parse_instant(text)
