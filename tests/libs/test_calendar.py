"""Runs at times of day in a zone, also in nights in which its clocks change (SCL-5)."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import accumulate, islice, pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.calendar import WEEKDAYS, missed, moment, next_run, runs, time_of_day

KEY = UUID(int=7)
ZONES = [
    *("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Europe/Moscow")
]
BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
TIMES = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.just(0) | st.integers(0, 59))


@dataclass(frozen=True, slots=True)
class Times:
    """A calendar."""

    at: Sequence[str]
    weekdays: Sequence[str] = WEEKDAYS
    jitter_minutes: int = 0


@cache
def nights(name: str) -> Sequence[tuple[ZoneInfo, date]]:
    """The days on which the clocks of a zone change; some other days if they never do."""
    zone, found = ZoneInfo(name), []
    hour = datetime(2024, 1, 1, tzinfo=UTC)
    while hour.year < 2029:
        after = hour + timedelta(hours=1)
        if hour.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            found.append((zone, (after - MINUTE).astimezone(zone).date()))
        hour = after
    return found or [(zone, date(2024, 2, 29)), (zone, date(2026, 10, 25))]


@cache
def latest_times(zone: ZoneInfo, day: date) -> Sequence[datetime]:
    """The latest time that clocks have shown by each minute, from three days before on."""
    start = datetime.combine(day, time(), UTC) - 3 * DAY
    clocks = (start + number * MINUTE for number in range(8 * 1440))
    return list(accumulate((one.astimezone(zone).replace(tzinfo=None) for one in clocks), max))


def first_shown(zone: ZoneInfo, night: date, day: date, at: time) -> datetime:
    """The first minute at which the clock has shown a time."""
    start = datetime.combine(night, time(), UTC) - 3 * DAY
    return start + bisect_left(latest_times(zone, night), datetime.combine(day, at)) * MINUTE


NIGHT = st.sampled_from(ZONES).flatmap(lambda name: st.sampled_from(nights(name)))
CALENDAR = st.builds(
    lambda times, days, jitter: Times(sorted(times), days, jitter),
    st.sets(TIMES, min_size=1, max_size=24),
    st.lists(st.sampled_from(WEEKDAYS), min_size=1),
    st.integers(0, 120),
)
KEYS = st.uuids()
EVERY_DAY = Times(["08:00"])


def test_there_are_nights_of_change_to_check() -> None:
    assert [len(nights(name)) for name in ZONES] == [10, 10, 10, 10, 2]


@pytest.mark.parametrize("name", ZONES)
def test_every_minute_of_every_night_of_change_is_the_moment_the_clock_shows(name: str) -> None:
    """A time that is left out is the moment after the gap; one that is repeated, the first."""
    for zone, night in nights(name):
        for day in (night - DAY, night, night + DAY):
            for number in range(1440):
                at = time(*divmod(number, 60))
                assert moment(day, at, zone) == first_shown(zone, night, day, at), (day, at)


@pytest.mark.parametrize(
    ("name", "day", "at", "expected"),
    [
        ("Europe/Berlin", "2026-03-29", "02:30", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-10-25", "02:30", "2026-10-25T00:30"),
        ("Australia/Lord_Howe", "2026-10-04", "02:15", "2026-10-03T15:30"),
        ("Africa/Cairo", "2026-04-24", "00:00", "2026-04-23T22:00"),
        ("Pacific/Apia", "2011-12-30", "08:00", "2011-12-30T10:00"),
    ],
)
def test_known_nights(name: str, day: str, at: str, expected: str) -> None:
    found = moment(date.fromisoformat(day), time.fromisoformat(at), ZoneInfo(name))
    assert found == datetime.fromisoformat(f"{expected}+00:00")


@given(of=CALENDAR, key=KEYS, night=NIGHT, minutes=st.integers(-2880, 1440))
def test_each_time_of_each_day_has_one_run_and_none_is_lost(
    of: Times, key: UUID, night: tuple[ZoneInfo, date], minutes: int
) -> None:
    """Runs are after now, in order, within their jitter and before the next time."""
    zone, day = night
    now = datetime.combine(day, time(), UTC) + minutes * MINUTE
    until = datetime.combine(day, time(), UTC) + 3 * DAY
    found = list(islice(runs(of, zone, key, since=now), 200))
    desired = {
        first_shown(zone, day, one, time.fromisoformat(at))
        for one in (day + number * DAY for number in range(-4, 6))
        if WEEKDAYS[one.weekday()] in of.weekdays
        for at in of.at
    }

    assert all(now < run.at for run in found)
    assert all(run.slot <= run.at <= run.slot + of.jitter_minutes * MINUTE for run in found)
    assert all(one.at < two.slot for one, two in pairwise(found))
    slots = {run.slot for run in found if now < run.slot < until}
    assert slots == {slot for slot in desired if now < slot < until}


@given(of=CALENDAR, key=KEYS, night=NIGHT, minutes=st.integers(0, 2880))
def test_runs_do_not_depend_on_the_moment_of_the_question(
    of: Times, key: UUID, night: tuple[ZoneInfo, date], minutes: int
) -> None:
    """A restart changes no run."""
    zone, day = night
    start = datetime.combine(day, time(), UTC) - DAY
    found = [run.at for run in islice(runs(of, zone, key, since=start), 60)]
    now, chained = start, []
    for _ in found:
        now = next_run(of, zone, key, now=now)
        chained.append(now)
    assert chained == found

    middle = start + minutes * MINUTE
    if later := [at for at in found if at > middle]:
        assert next_run(of, zone, key, now=middle) == later[0]


@given(of=CALENDAR, key=KEYS, night=NIGHT, minutes=st.integers(0, 10_000))
def test_missed_runs_are_all_that_should_have_begun(
    of: Times, key: UUID, night: tuple[ZoneInfo, date], minutes: int
) -> None:
    zone, day = night
    first, *later = islice(runs(of, zone, key, since=datetime.combine(day, time(), UTC)), 300)
    now = first.at + minutes * MINUTE

    found = missed(of, zone, key, due=first.at, now=now)

    assert found == [first, *(run for run in later if run.at <= now)]
    assert next_run(of, zone, key, now=now, done=found[-1].slot) > now


def test_times_that_a_night_makes_the_same_moment_are_one_run() -> None:
    of = Times(["02:15", "02:45", "03:00", "03:30"], jitter_minutes=60)
    three = moment(date(2026, 3, 29), time(3), BERLIN)
    found = list(islice(runs(of, BERLIN, KEY, since=three - MINUTE), 2))
    assert [run.slot for run in found] == [three, three + 30 * MINUTE]
    later = three + 25 * MINUTE
    assert found[0].at != three
    assert missed(of, BERLIN, KEY, due=found[0].at, now=later) == found[:1]


HOUR_WIDE = Times(["08:00"], jitter_minutes=60)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)
SLOT = moment(date(2026, 6, 1), time(8), BERLIN)


def delays(of: Times, number: int) -> list[timedelta]:
    """The delays after eight o'clock of so many keys."""
    keys = (UUID(int=one) for one in range(number))
    return [next_run(of, BERLIN, key, now=JUNE) - SLOT for key in keys]


def test_many_keys_do_not_begin_at_once() -> None:
    late = delays(HOUR_WIDE, 1000)
    tens = [sum(one // (10 * MINUTE) == ten for one in late) for ten in range(6)]
    assert sum(tens) == 1000
    assert min(tens) > 120


def test_a_key_begins_at_another_minute_every_day() -> None:
    some = islice(runs(HOUR_WIDE, BERLIN, KEY, since=JUNE), 20)
    assert len({run.at - run.slot for run in some}) > 15


def test_the_jitter_never_reaches_the_next_time() -> None:
    """Keys with a longer jitter are not all late together."""
    of = Times(["08:00", "08:02"], jitter_minutes=120)
    late = delays(of, 200)
    assert max(late) < 2 * MINUTE
    assert len(set(late)) > 60


def test_a_time_that_had_its_run_gets_no_second_one() -> None:
    """Also with another delay, or after a clock was set back."""
    before = SLOT - 30 * MINUTE
    assert next_run(EVERY_DAY, BERLIN, KEY, now=before) == SLOT
    assert next_run(EVERY_DAY, BERLIN, KEY, now=before, done=SLOT) == SLOT + DAY
    assert next_run(EVERY_DAY, BERLIN, KEY, now=before, done=SLOT + 300 * DAY) == SLOT


@pytest.mark.parametrize("minutes", [-60, 60])
def test_a_run_timed_by_rules_that_have_changed_since_is_for_the_nearest_time(minutes: int) -> None:
    due = SLOT + minutes * MINUTE
    (found,) = missed(EVERY_DAY, BERLIN, KEY, due=due, now=due + MINUTE)
    assert (found.slot, found.at) == (SLOT, due)


@pytest.mark.parametrize("text", ["24:00", "8:00", "08:00:00", "0800", "x", ""])
def test_a_time_of_day_is_hours_and_minutes(text: str) -> None:
    with pytest.raises(ValueError, match="not a time of day"):
        time_of_day(text)
