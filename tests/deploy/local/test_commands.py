"""What a person who types the commands, or watches, gets to see."""

import os
import re
import subprocess
import sys
from io import StringIO

import pytest
from rich.console import Console

from deploy.local.metrics import Figures, Sample, figures_between, read_totals
from deploy.local.runtime import read_runtime
from deploy.local.settings import ROOT, LocalSettings
from deploy.local.stack import Stack
from deploy.local.view import plain_console, summary, table, watch

EXPOSITION = """\
# TYPE tillstream_projected_events_total counter
tillstream_projected_events_total{projection="dashboard"} 40
tillstream_projected_events_total{projection="raw"} 2
# TYPE tillstream_relay_backlog_events gauge
tillstream_relay_backlog_events 3
# TYPE python_info gauge
python_info{version="3.11"} 1
"""


def command(name: str, settings: LocalSettings) -> "subprocess.CompletedProcess[str]":
    """Type a command as a person would, in another process."""
    environment = os.environ | {
        "TILLSTREAM_DATA": str(settings.home),
        "GATEWAY_PORT": str(settings.gateway_port),
    }
    return subprocess.run(
        [sys.executable, "-m", "deploy.local", name],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_second_up_and_status_report_what_runs_and_where(
    stack: Stack, settings: LocalSettings
) -> None:
    done = command("up", settings)

    assert done.returncode == 0
    assert "Already running" in done.stdout
    assert re.search(rf"gateway +ready +{re.escape(stack.gateway_url)}", done.stdout)

    record = (read_runtime(settings.home) or {})["processes"]["ingest"]
    done = command("status", settings)

    assert re.search(rf"ingest +ready +{record['pid']} +{record['port']} +[1-9]\d*", done.stdout)
    assert re.search(r"total +[1-9]\d*", done.stdout)
    assert "\x1b" not in done.stdout


def test_status_and_down_report_that_nothing_runs(settings: LocalSettings) -> None:
    assert command("status", settings).stdout.startswith("Nothing is running")
    assert command("down", settings).stdout == "Nothing was running.\n"


def test_reset_wipes_only_a_folder_of_its_own(settings: LocalSettings) -> None:
    (settings.home / "thesis.txt").write_text("three years of work")

    done = command("reset", settings)

    assert done.returncode == 1
    assert "left alone" in done.stdout
    assert (settings.home / "thesis.txt").exists()


def test_the_summary_adds_up_the_metrics_and_the_table_has_a_row_for_each_service(
    stack: Stack,
) -> None:
    stack.observer.observe()

    line = summary(stack.supervisor.slots, stack.observer)

    assert re.match(r"3 of 3 ready, [1-9]\d* MiB", line)
    assert "backlog 4" in line
    console = Console(width=120, file=StringIO(), markup=False)

    console.print(table(stack.supervisor.slots, stack.observer))

    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    assert re.search(r"ingest +ready +0 +[1-9]\d* ", shown)
    assert re.search(r"gateway +ready +0 +[1-9]\d* ", shown)


def test_without_a_terminal_there_is_no_colour_and_no_cursor_control(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.interruption.ask()

    watch(stack, plain_console())

    assert "\x1b" not in capsys.readouterr().out


def test_a_metric_is_summed_over_its_labels_and_other_metrics_are_left_out() -> None:
    assert read_totals(EXPOSITION) == {
        "tillstream_projected_events_total": 42,
        "tillstream_relay_backlog_events": 3,
    }


def test_rates_need_two_readings_and_levels_one() -> None:
    earlier = Sample(at=10.0, totals={"tillstream_projected_events_total": 2})
    later = Sample(at=12.0, totals=read_totals(EXPOSITION))

    first, second = figures_between(None, later), figures_between(earlier, later)

    assert first == Figures(per_second={}, queued={"backlog": 3})
    assert second == Figures(per_second={"projected": 20}, queued={"backlog": 3})


def test_a_restarted_counter_gives_no_rate_instead_of_a_negative_one() -> None:
    earlier = Sample(at=10.0, totals={"tillstream_relayed_events_total": 1_000})
    later = Sample(at=11.0, totals={"tillstream_relayed_events_total": 5})

    assert figures_between(earlier, later).per_second == {}


def test_text_that_is_no_exposition_is_refused() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        read_totals("tillstream_relay_backlog_events many")
