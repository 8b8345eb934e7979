"""When reminders of important dates are due."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shop.customers.domain.person import ImportantDate
from services.shop.live.notifications.domain import next_reminder, reminders

ALMATY = ZoneInfo("Asia/Almaty")
START = datetime(2026, 2, 1, tzinfo=UTC)
BIRTHDAY = ImportantDate(date_id=4, date="03-08", description="мама", created_at=START)


def at(year: int, month: int, day: int) -> datetime:
    return datetime.combine(date(year, month, day), time(9), ALMATY)


@pytest.mark.parametrize(
    ("text", "days", "after", "due", "year"),
    [
        ("03-08", 3, datetime(2026, 2, 1, tzinfo=UTC), at(2026, 3, 5), 2026),
        # A date that was added late is due at once, on its own day as well.
        ("03-08", 3, datetime(2026, 3, 8, 12, tzinfo=UTC), at(2026, 3, 5), 2026),
        # In Almaty 8 March is over.
        ("03-08", 3, datetime(2026, 3, 8, 20, tzinfo=UTC), at(2027, 3, 5), 2027),
        ("01-02", 5, datetime(2026, 6, 1, tzinfo=UTC), at(2026, 12, 28), 2027),
        ("02-29", 0, datetime(2026, 1, 1, tzinfo=UTC), at(2026, 2, 28), 2026),
        ("02-29", 0, datetime(2028, 1, 1, tzinfo=UTC), at(2028, 2, 29), 2028),
    ],
)
def test_a_reminder_is_due_in_the_morning_some_days_before(
    text: str, days: int, after: datetime, due: datetime, year: int
) -> None:
    important = replace(BIRTHDAY, date=text, remind_days_before=days)

    reminder = next_reminder(important, after, ALMATY)

    assert reminder is not None
    assert (reminder.at, reminder.year) == (due, year)


def test_a_date_that_had_its_reminder_has_the_next_one_next_year() -> None:
    reminded = replace(BIRTHDAY, last_reminded_year=2026)

    reminder = next_reminder(reminded, START, ALMATY)

    assert reminder is not None
    assert reminder.at == at(2027, 3, 5)


def test_what_is_no_date_has_no_reminder() -> None:
    texts = ["13-01", "02-30", "сегодня", ""]

    assert reminders([replace(BIRTHDAY, date=one) for one in texts], START, ALMATY) == []


@given(
    day=st.dates(date(2028, 1, 1), date(2028, 12, 31)),
    days=st.integers(0, 60),
    hours=st.integers(0, 100_000),
)
def test_every_year_has_one_reminder_of_a_date(day: date, days: int, hours: int) -> None:
    important = replace(BIRTHDAY, date=f"{day:%m-%d}", remind_days_before=days)
    after = START + timedelta(hours=hours)
    coming = []
    for _ in range(3):
        reminder = next_reminder(important, after, ALMATY)
        assert reminder is not None
        coming.append(reminder)
        important = replace(important, last_reminded_year=reminder.year)

    first = coming[0]
    assert [one.year - first.year for one in coming] == [0, 1, 2]
    assert first.year - after.astimezone(ALMATY).year in (0, 1)
    assert {one.at.astimezone(ALMATY).time() for one in coming} == {time(9)}
    # The day itself is not over, and the one of a year before is.
    assert (first.at + timedelta(days=days)).date() >= after.astimezone(ALMATY).date()
