"""The bench runs, and says what it measured in the shape others read. Figures are not judged."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.local.settings import ROOT
from tests.bench.__main__ import LINES, UnknownLine, chosen, main
from tests.bench.costs import Cost, Usage
from tests.bench.measure import Measured, as_json, at_least, interleaved, limited, percentile

SMOKE = "appends ingest whole relay projections freshness user rebuild as-of scales shop"
KEYS = {"name", "ours", "reference", "unit", "ratio", "goal", "met", "note", "costs", "samples"}


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.timeout(1200)
def test_a_smoke_run_measures_every_row_of_the_selected_lines(tmp_path: Path) -> None:
    settings = {
        "QUICK": "1",
        "TILLSTREAM_DATA": str(tmp_path),
        "LINES": SMOKE,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench"],
        cwd=ROOT,
        env=os.environ | settings,
        check=False,
        capture_output=True,
        text=True,
    )

    rows: list[dict[str, Any]] = json.loads((tmp_path / "bench.json").read_text())
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rows) == 3 + 4 + 6 + 2 + 2 + 4 + 5 + 3 + 2 + 4 + 6
    for row in rows:
        assert set(row) == KEYS
        assert row["ours"] > 0
        assert row["unit"]
        assert row["samples"]["ours"]
        assert (row["reference"] is None) == (row["ratio"] is None)
        assert (row["goal"] is None) == (row["met"] is None)


def test_an_unknown_line_is_refused_with_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("LINES", "appends nonsense")
    monkeypatch.setenv("TILLSTREAM_DATA", str(tmp_path))

    assert main() == 2

    printed = capsys.readouterr().out
    assert "nonsense" in printed
    assert all(line.name in printed for line in LINES)
    assert not (tmp_path / "bench.json").exists()


def test_lines_are_chosen_by_name_in_the_order_of_the_table() -> None:
    assert [line.name for line in chosen("relay, appends")] == ["appends", "relay"]
    assert [*chosen("")] == [*LINES]
    with pytest.raises(UnknownLine, match="other"):
        chosen("relay other")


def test_samples_are_taken_in_turn_and_the_first_round_does_not_count() -> None:
    taken: list[str] = []

    def side(name: str) -> float:
        taken.append(name)
        return float(len(taken))

    samples = interleaved(2, lambda _: None, lambda: side("a"), lambda: side("b"))

    assert taken == ["a", "b", "a", "b", "a", "b"]
    assert samples == [[3, 5], [4, 6]]


def test_a_ratio_is_of_medians_and_a_goal_is_reached_or_missed() -> None:
    rows = [
        Measured("x", [1, 30, 40], [10], goal=at_least(3)),
        Measured("x", [29], [10], goal=at_least(3)),
        limited("x", [15], limit=20, unit="ms"),
        limited("x", [20], limit=20, unit="ms"),
        Measured("x", [1], unit="s"),
        Measured("x", (), unit="", note="skipped: not there"),
    ]

    assert [row.met for row in rows] == [True, False, True, False, None, None]
    assert [row["ratio"] for row in as_json(rows)] == [3, 2.9, 0.75, 1, None, None]
    assert as_json(rows)[-1]["ours"] is None


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([*range(100)], 0.99) == 99
    assert percentile([7], 0.99) == 7


def test_costs_of_samples_add_up_without_the_measuring_processes() -> None:
    samples = [Cost(title="line", events=events) for events in (100, 300)]
    for sample in samples:
        sample.add_usage("api", Usage(0.02, 10))
        sample.add_usage("postgres: log", Usage(0.01, 4))
        sample.add_usage("bench gate", Usage(1.0, 50))
        sample.add_batches({"page": (2, sample.events), "never": (0, 0)})

    cost = Cost.of(samples)

    assert cost.events == 400
    assert cost.usage["api"] == Usage(0.04, 20)
    assert cost.micros_per_event == pytest.approx(0.06 / 400 * 1e6)
    assert cost.mean_sizes == {"page": 100}
    assert Cost(title="nothing").micros_per_event == 0
