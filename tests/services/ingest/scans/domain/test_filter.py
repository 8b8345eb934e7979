"""Filters: days, instants, names; and formatted times."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.scans.domain.day import (
    BadDate,
    Days,
    day_of,
    format_time,
    parse_day,
    parse_days,
    unix_ms,
)
from services.ingest.scans.domain.filter import display_name, parse_value
from services.ingest.scans.domain.instant import BadInstant, parse_instant
from tests.services.ingest.history import TODAY, ZONE


def ask(first: str | None, last: str | None = None) -> Days:
    return parse_days(first, last, today=TODAY.first, max_days=92)


def october(first: int, last: int) -> Days:
    return Days(first=date(2025, 10, first), last=date(2025, 10, last))


@pytest.mark.parametrize("text", ["2025-10-31", "31.10.2025"])
def test_both_formats_of_a_date_are_read(text: str) -> None:
    assert parse_day(text) == date(2025, 10, 31)


@pytest.mark.parametrize(
    "text",
    ["", "today", "20251031", "2025-10-32", "31.02.2025", "2025-W44-5", "31/10/2025", "1.1.2025",
     "2025-10-31T10:00", "٢٠٢٥-10-31", "0000-01-01", " 2025-10-31", "2025-10-31\n"],
)  # fmt: skip
def test_other_texts_are_bad_dates(text: str) -> None:
    with pytest.raises(BadDate):
        parse_day(text)


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        (None, None, TODAY),
        ("", None, TODAY),
        (None, "2025-01-01", TODAY),
        ("2025-10-01", None, october(1, 1)),
        ("03.10.2025", "2025-10-01", october(1, 3)),
    ],
    ids=["today", "an empty date", "an end alone", "no end", "swapped"],
)
def test_days_are_those_from_a_date_to_an_end(
    first: str | None, last: str | None, days: Days
) -> None:
    assert ask(first, last) == days


def test_a_range_may_be_as_long_as_the_limit() -> None:
    assert len(ask("2025-08-01", "2025-10-31")) == 92
    with pytest.raises(BadDate):
        ask("2025-07-31", "2025-10-31")


def test_the_day_begins_at_local_midnight() -> None:
    last_second = datetime(2025, 10, 30, 20, 59, 59, tzinfo=UTC)

    assert day_of(last_second, ZONE) == date(2025, 10, 30)
    assert day_of(last_second + timedelta(seconds=1), ZONE) == date(2025, 10, 31)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Moscow", "2025-10-26", 24),
        ("Europe/Berlin", "2025-10-26", 25),
        ("Europe/Berlin", "2025-03-30", 23),
        ("America/Havana", "2025-03-09", 23),  # a midnight that does not exist
    ],
)
def test_a_day_lasts_as_long_as_its_zone_says(zone: str, day: str, hours: int) -> None:
    one = date.fromisoformat(day)
    begins, ends = Days(first=one, last=one).instants(ZoneInfo(zone))

    assert ends - begins == timedelta(hours=hours)


@given(
    second=st.integers(0, 10**9),
    zone=st.sampled_from(["Europe/Moscow", "Europe/Berlin", "America/Havana", "Asia/Kathmandu"]),
)
def test_a_moment_lies_within_the_instants_of_its_day(second: int, zone: str) -> None:
    moment = datetime(2010, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    day = day_of(moment, ZoneInfo(zone))

    begins, ends = Days(first=day, last=day).instants(ZoneInfo(zone))

    assert begins <= moment < ends


def test_a_formatted_time_shows_minutes_where_minutes_belong() -> None:
    assert (
        format_time(datetime(2025, 10, 31, 10, 39, 30, tzinfo=UTC), ZONE) == "31.10.2025 13:39:30"
    )


def test_milliseconds_are_rounded_down() -> None:
    assert unix_ms(datetime(2025, 10, 31, 0, 0, 0, 1999, tzinfo=UTC)) == 1_761_868_800_001


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025-10-31T12:00:00Z", "2025-10-31 12:00:00"),
        ("2025-10-31t12:00:00z", "2025-10-31 12:00:00"),
        ("2025-10-31 12:00:00+03:00", "2025-10-31 09:00:00"),
        ("2025-10-31T12:00:00 03:00", "2025-10-31 09:00:00"),
        ("2025-10-31T00:30:00-05:30", "2025-10-31 06:00:00"),
        ("2025-10-31T12:00:00.5Z", "2025-10-31 12:00:00.500000"),
        ("2025-10-31T12:00:00.0000019Z", "2025-10-31 12:00:00.000001"),
    ],
)
def test_an_instant_is_read_with_its_offset_to_the_microsecond(text: str, instant: str) -> None:
    assert parse_instant(text) == datetime.fromisoformat(f"{instant}+00:00")
    assert parse_instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["", "2025-10-31", "2025-10-31T12:00:00", "2025-10-31T12:00Z", "2025-10-31T12:00:00+0300",
     "2025-10-31T24:00:01Z", "2025-10-31T12:00:60Z", "2025-02-30T12:00:00Z",
     "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "2025-10-31T12:00:00.Z",
     " 2025-10-31T12:00:00Z"],
)  # fmt: skip
def test_an_invalid_instant_is_refused(text: str) -> None:
    with pytest.raises(BadInstant):
        parse_instant(text)


@pytest.mark.parametrize(
    ("typed", "meant"), [(None, None), ("", None), ("—", ""), ("anna", "anna"), (" ", " ")]
)
def test_an_empty_filter_matches_everything_and_a_dash_the_empty_name(
    typed: str | None, meant: str | None
) -> None:
    assert parse_value(typed) == meant


def test_an_empty_name_is_shown_as_a_dash() -> None:
    assert (display_name(""), display_name("anna")) == ("—", "anna")
