"""Snapshots mean the same to us and to Postgres."""

import random

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.eventsourcing.snapshot import NOTHING, Snapshot

xids = st.integers(1, 40)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    xmin = draw(xids)
    xmax = draw(st.integers(xmin, 45))
    # Postgres lists what runs between the two; if anything does, xmin is the first of it.
    running = draw(st.frozensets(st.integers(xmin, xmax - 1))) if xmax > xmin else frozenset()
    return Snapshot(min(running, default=xmax), xmax, running)


@given(snapshots())
def test_what_is_written_is_read_back(snapshot: Snapshot) -> None:
    assert Snapshot.parse(str(snapshot)) == snapshot


def test_the_text_is_that_of_postgres() -> None:
    assert Snapshot.parse("10:20:10,14,15") == Snapshot(10, 20, frozenset({10, 14, 15}))
    assert str(Snapshot(10, 20, frozenset({15, 10, 14}))) == "10:20:10,14,15"


@pytest.mark.parametrize("text", ["", "1:2", "a:b:c", "1:2:3:4", "1:2:x"])
def test_other_texts_are_no_snapshot(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- of several places, each with its own words
        Snapshot.parse(text)


def test_the_first_snapshot_sees_nothing() -> None:
    assert not any(NOTHING.sees(xid) for xid in range(1, 10))


async def test_a_snapshot_sees_the_same_as_postgres(pool: asyncpg.Pool) -> None:
    dice = random.Random(3)
    for _ in range(60):
        xmin = dice.randint(1, 40)
        rest = frozenset(dice.sample(range(xmin + 1, 45), dice.randint(0, 4)) if xmin < 40 else ())
        snapshot = Snapshot(xmin, max(rest, default=xmin) + 1 + dice.randint(0, 3), rest | {xmin})
        rows = await pool.fetch(
            "SELECT xid, pg_visible_in_snapshot(xid::text::xid8, $1::text::pg_snapshot) AS visible"
            " FROM generate_series(1, 50) AS xid",
            str(snapshot),
        )
        assert {row["xid"]: row["visible"] for row in rows} == {
            xid: snapshot.sees(xid) for xid in range(1, 51)
        }, str(snapshot)
