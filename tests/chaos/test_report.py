"""The end of a run: its output, its files and its exit status."""

import asyncio
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.chaos.plan import Outcome, judge
from tests.chaos.report import Line, Report, show
from tests.chaos.run import BrokenOff, unless
from tests.libs.messaging.history import Ack, History
from tests.libs.messaging.wires import lane, record, recorded

CLEAN = Outcome(events=4, again=1)


def line(outcome: Outcome = CLEAN, fails: str | None = None) -> Line:
    return Line(name="a fault", rounds=3, seed=9, seconds=1.25, outcome=outcome, fails=fails)


def report(*lines: Line) -> Report:
    faults = [one for one in lines if one.fails is None]
    return Report(
        seed=9, seconds=2, faults=faults, mutations=[one for one in lines if one.fails is not None]
    )


@pytest.mark.parametrize(
    "bad",
    [
        line(Outcome(lost=1)),
        line(Outcome(doubled=1)),
        line(Outcome(disordered=1)),
        line(Outcome(complaints=("the fault never struck",))),
        line(Outcome(), fails="lost"),
        line(Outcome(doubled=1), fails="lost"),
        line(Outcome(lost=1, complaints=("everything waits",)), fails="lost"),
        line(Outcome(lost=1, complaints=("late: the next one",)), fails="lost"),
        line(Outcome(complaints=("late: the next one", "everything waits")), fails="late"),
    ],
)
def test_a_run_with_one_bad_line_is_not_good(bad: Line) -> None:
    late = line(Outcome(complaints=("late: the next one",)), fails="late")
    assert report(line(), line(Outcome(lost=2), fails="lost"), late).good
    assert not report(line(), bad).good


def test_failures_are_reported_with_their_seed() -> None:
    console = Console(record=True, width=160)

    show(report(line(Outcome(lost=1, examples=["lost: 7 was acknowledged"]))), console)

    text = console.export_text()
    assert "WRONG" in text
    assert "lost: 7 was acknowledged" in text
    assert "SEED=9" in text


def test_the_file_holds_the_same(tmp_path: Path) -> None:
    report(line(), line(Outcome(doubled=2), fails="doubled")).write(tmp_path / "chaos.json")

    cells_of = json.loads((tmp_path / "chaos.json").read_text())
    assert (cells_of["seed"], cells_of["good"], cells_of["rounds"], cells_of["lost"]) == (
        9,
        True,
        3,
        0,
    )
    (fault,), (mutation,) = cells_of["faults"], cells_of["mutations"]
    assert (fault["fault"], fault["rounds"], fault["again"], fault["seconds"]) == (
        "a fault",
        3,
        1,
        1.2,
    )
    assert (mutation["must_fail"], mutation["doubled"], mutation["good"]) == ("doubled", 2, True)


def test_a_history_is_counted_by_what_is_wrong_with_it() -> None:
    log = [recorded(n, version=n) for n in (1, 2, 3)]
    sent = [*lane(log), record(log[2], 3, 3, 2)]
    history = History(
        acks=[Ack("order-1", (9,), 4)],
        logged=log,
        topic=sent,
        table={"order-1": ((1, 3, 2, 2), (1, 3, 2, 2))},
    )

    outcome = judge(history, ["a complaint"])

    assert (outcome.events, outcome.again) == (3, 1)
    assert (outcome.lost, outcome.doubled, outcome.disordered) == (1, 1, 1)
    assert outcome.complaints == ("a complaint",)


async def test_a_run_is_interrupted_where_it_waits_and_cleans_up() -> None:
    tidy, began = list[str](), asyncio.Event()

    async def wait() -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            tidy.append("up")

    with pytest.raises(BrokenOff):
        await unless(began.is_set, wait())

    assert tidy == ["up"]
