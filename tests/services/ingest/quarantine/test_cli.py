"""The `quarantine` commands."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from contracts.ingest import EVENTS, IngestEvent
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import PostgresLog
from libs.testing.pools import system_pool
from libs.testing.read_models import Projector
from services.ingest.__main__ import app
from tests.services.ingest.history import (
    PROJECTIONS,
    Store,
    environment,
    event,
    quarantine_id,
    send,
    uuid,
)

Call = Callable[..., Result]


def id_of(number: int) -> str:
    return str(quarantine_id(UUID(uuid(number))))


async def prepare(database: str, *events: object) -> None:
    """Send events, and let the read models catch up; with none, only the latter."""
    async with system_pool(database, "ingest") as pool:
        log = PostgresLog(pool)
        store = Store(log, Codec[IngestEvent](EVENTS))
        if events:
            await send(store, *events)
        await Projector(store, pool, "ingest", PROJECTIONS).catch_up()
        await log.close()


@pytest.fixture
def quarantine(database: str, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`python -m services.ingest quarantine …` on a database with three bad events."""
    for name, value in environment(database).items():
        monkeypatch.setenv(name, value)
    asyncio.run(prepare(database, event(1, code=7), event(2, ts=5), event(3, ts=5)))

    def call(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, ["quarantine", *arguments], input=stdin)

    return call


def test_events_are_counted_listed_and_printed_for_people_and_scripts(quarantine: Call) -> None:
    counted, listed = quarantine("count"), quarantine("list", "--code", "bad_text")
    inspected = quarantine("show", id_of(1))
    as_json = [
        json.loads(quarantine(*words, "--json").stdout)
        for words in (("count",), ("list",), ("show", id_of(1)))
    ]

    assert (counted.exit_code, listed.exit_code, inspected.exit_code) == (0, 0, 0)
    for word in ("implausible_ts", "together"):
        assert word in counted.output
    assert id_of(1) in listed.output
    assert id_of(2) not in listed.output
    for text in ("code must be a text [bad_text]", '"code": 7'):
        assert text in inspected.output
    assert as_json[0] == {"counts": {"implausible_ts": 2, "bad_text": 1}, "total": 3}
    assert {one["id"] for one in as_json[1]} == {id_of(1), id_of(2), id_of(3)}
    assert as_json[2]["value"]["code"] == 7


def test_an_event_is_fixed_field_by_field(quarantine: Call, database: str) -> None:
    still = quarantine("fix", id_of(1), "--set", "type=ITEM")
    fixed = quarantine("fix", id_of(1), "--set", "code=7", "--unset", "box")
    again = quarantine("fix", id_of(1), "--set", "code=8")
    asyncio.run(prepare(database))

    assert (still.exit_code, fixed.exit_code, again.exit_code) == (1, 0, 1)
    assert "code: code must be a text" in still.stderr
    assert uuid(1) in fixed.stdout
    assert "It was mended" in again.stderr
    assert json.loads(quarantine("count", "--json").stdout)["total"] == 2


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_whole_event_is_read_from_a_file(quarantine: Call, tmp_path: Path, way: str) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(event(2)))

    where = str(file) if way == "file" else "-"
    fixed = quarantine("fix", id_of(2), "--file", where, "--json", stdin=file.read_text())

    assert fixed.exit_code == 0
    assert json.loads(fixed.stdout)["scanId"] == uuid(2)


def test_events_are_replayed_by_code(
    quarantine: Call, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    stay = quarantine("replay", "--code", "implausible_ts", "--json")
    monkeypatch.setenv("INGEST_NOT_BEFORE", "1970-01-01")
    go = quarantine("replay", "--code", "implausible_ts", "--json")
    asyncio.run(prepare(database))
    one = quarantine("replay", id_of(1))

    assert (stay.exit_code, json.loads(stay.stdout)["stillWrong"]) == (1, 2)
    assert (go.exit_code, json.loads(go.stdout)["mended"]) == (0, 2)
    assert json.loads(quarantine("count", "--status", "mended", "--json").stdout)["total"] == 2
    assert one.exit_code == 1


def test_an_event_is_dropped(quarantine: Call) -> None:
    dropped = quarantine("drop", id_of(1), "--reason", "a test")
    inspected = json.loads(quarantine("show", id_of(1), "--json").stdout)

    assert dropped.exit_code == 0
    assert inspected["history"][1]["by"] == "command line"
    assert (inspected["status"], inspected["history"][1]["reason"]) == ("dropped", "a test")


def test_a_refusal_is_one_sentence_and_exits_with_1(quarantine: Call) -> None:
    for arguments in (
        ("show", str(UUID(int=1))),
        ("drop", str(UUID(int=1)), "--reason", "x"),
        ("show", id_of(1), "--tenant", "other"),
        ("drop", id_of(1), "--reason", " "),
    ):
        refused = quarantine(*arguments)

        assert refused.exit_code == 1, arguments
        assert refused.stderr.strip().endswith("."), arguments


def test_a_wrong_command_line_exits_with_2(quarantine: Call) -> None:
    for arguments in (
        ("show", "nothing"),
        ("fix", id_of(1)),
        ("fix", id_of(1), "--set", "code"),
        ("replay",),
        ("replay", id_of(1), "--all"),
        ("list", "--status", "lost"),
    ):
        assert quarantine(*arguments).exit_code == 2, arguments


def test_without_a_database_it_says_so(quarantine: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")

    away = quarantine("list")

    assert away.exit_code == 1
    assert "unavailable" in away.stderr
