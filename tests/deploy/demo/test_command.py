"""The command line: what it prints, and what its exit status says."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from deploy.demo.__main__ import app
from deploy.demo.compare import Line
from deploy.demo.day import Address, Day, Manner, Verdict
from deploy.demo.house import address_in, directions
from deploy.demo.ledger import Figures
from deploy.demo.performance import Performance
from deploy.demo.plan import plan_day
from deploy.demo.report import show
from deploy.local.trouble import CannotStart
from libs.testing.polling import PATIENCE_SECONDS
from tests.deploy.demo.fake import KEY, Faults, Store, serving

NOBODY = "http://127.0.0.1:1"


async def playing(url: str, key: str, folder: Path, *, patience: float) -> Result:
    key_file = folder / "key"
    key_file.write_text(f"{key}\n")
    manner = ["--speed", "60000", "--operators", "1", "--patience", str(patience), "--lag", "0.2"]
    arguments = ["day", "--gateway", url, "--key-file", str(key_file), *manner]
    return await asyncio.to_thread(CliRunner().invoke, app, arguments)


@pytest.mark.parametrize(
    ("faults", "key", "status", "sentence"),
    [
        (Faults(), KEY, 0, "What was sent and what is shown agree"),
        (Faults(loses=True), KEY, 1, "They DISAGREE"),
        (Faults(), "wrong", 1, "Invalid or missing API key"),
        (Faults(failing=1.0), KEY, 1, "nothing worked for 1 seconds"),
    ],
    ids=["agrees", "disagrees", "a refused key", "a gateway that never works"],
)
async def test_a_day_ends_with_an_exit_status_and_a_message(
    tmp_path: Path, faults: Faults, key: str, status: int, sentence: str
) -> None:
    patience = 1 if faults.failing else PATIENCE_SECONDS
    async with serving(Store(faults=faults)) as url:
        result = await playing(url, key, tmp_path, patience=patience)

    assert result.exit_code == status, result.output
    assert sentence in result.output


async def test_a_gateway_that_never_starts_ends_with_status_1_and_a_message(
    tmp_path: Path,
) -> None:
    result = await playing(NOBODY, KEY, tmp_path, patience=1)

    assert result.exit_code == 1
    assert "The day could not be brought to its end" in result.output
    assert NOBODY in result.output


def a_day() -> Day:
    plan = plan_day(1, ends_at=datetime(2026, 3, 4, tzinfo=UTC), operators=1)
    manner = Manner(speed=1, patience=60, lag=1)
    return Day(plan, Address(url=NOBODY, key=KEY), manner, tell=lambda _: None)


def test_an_interrupted_day_has_no_verdict() -> None:
    with Performance(a_day()) as performance:
        assert not performance.over()

    assert performance.over()
    assert performance.verdict is None
    assert performance.trouble is None


@pytest.mark.parametrize("name", ["gateway", "gateway-api"])
def test_the_address_of_a_running_installation_is_known(name: str) -> None:
    runtime = {"urls": {name: "http://127.0.0.1:8080"}, "keys": {"scan_client_key": KEY}}

    assert address_in(runtime) == Address(url="http://127.0.0.1:8080", key=KEY)


@pytest.mark.parametrize("runtime", [{}, {"urls": {"gateway": "http://127.0.0.1:8080"}}])
def test_an_installation_without_a_key_cannot_be_played_on(runtime: dict[str, object]) -> None:
    with pytest.raises(CannotStart, match="no gateway with a key"):
        address_in(runtime)


def test_the_key_itself_is_not_printed() -> None:
    text = "\n".join(directions(a_day(), NOBODY, Path("secrets/scan_client_key")))

    assert "secrets/scan_client_key" in text
    assert KEY not in text


def verdict_of(*lines: Line, acknowledged: int = 2) -> Verdict:
    figures = Figures(planned_events=2, sent=3, acknowledged=acknowledged, known=1, refused=0)
    return Verdict(
        figures=figures, troubles={}, outages=0, play_seconds=1.0, lines=list(lines), wrong=[]
    )


AGREED = Line(what="[bold]everything", sent="items 2", displayed="items 2")
DIFFERENT = Line(what="anna", sent=(2, 0), displayed=None)


@pytest.mark.parametrize(
    ("verdict", "agrees"),
    [
        (verdict_of(AGREED), True),
        (verdict_of(AGREED, DIFFERENT), False),
        (verdict_of(AGREED, acknowledged=1), False),
    ],
    ids=["agreed", "different", "not all arrived"],
)
def test_a_report_states_whether_everything_agrees(verdict: Verdict, agrees: bool) -> None:
    console = Console(markup=False, width=120)
    with console.capture() as captured:
        show(verdict, console)

    assert verdict.agrees is agrees
    assert ("agree in all" in captured.get()) is agrees
    assert "[bold]everything" in captured.get()
