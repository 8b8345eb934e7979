"""Looking after quarantined events from a command line."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from contracts.ingest import EVENTS, IngestEvent, ScanId
from libs.clock import utc_now
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.postgres.migrate import migrate
from libs.postgres.pool import SYSTEM, open_pool
from libs.postgres.rls import application_role
from services.ingest.__main__ import app
from services.ingest.domain import identity
from tests.services.ingest.handlers.test_scan import event, send
from tests.services.ingest.told import NOON, Projector

Call = Any


def id_of(number: int) -> str:
    scan_id = ScanId(UUID(int=number, version=4))
    return str(identity.quarantine_event(identity.namespace("demo"), scan_id))


async def prepare(database: str, *events: object) -> None:
    """Send events, and let the read models catch up; with none, only the latter."""
    pool = await open_pool(
        database,
        role=application_role("ingest"),
        schema="ingest",
        size=4,
        application_name="test",
        tenant_scope=SYSTEM,
    )
    log = PostgresLog(pool)
    store = EventStore(log, Codec[IngestEvent](EVENTS), clock=utc_now)
    if events:
        await send(store, *events)
    await Projector(store, pool).catch_up()
    await log.close()
    await pool.close()


@pytest.fixture
def quarantine(database: str, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`python -m services.ingest quarantine …` on a database with three bad events."""
    migrate("ingest", database)
    told = {
        "DATABASE_URL": database,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "INGEST_JWKS_URL": "http://127.0.0.1:1/keys",
        "COLUMNS": "200",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    asyncio.run(prepare(database, event(1, code=7), event(2, ts=5), event(3, ts=5)))

    def call(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, ["quarantine", *arguments], input=stdin)

    return call


def test_events_are_counted_and_listed(quarantine: Call) -> None:
    counted, listed = quarantine("count"), quarantine("list", "--code", "bad_text")

    assert (counted.exit_code, listed.exit_code) == (0, 0)
    assert "implausible_ts" in counted.output
    assert "together" in counted.output
    assert id_of(1) in listed.output
    assert id_of(2) not in listed.output


def test_scripts_get_json(quarantine: Call) -> None:
    counted = json.loads(quarantine("count", "--json").stdout)
    listed = json.loads(quarantine("list", "--json").stdout)
    shown = json.loads(quarantine("show", id_of(1), "--json").stdout)

    assert counted == {"counts": {"implausible_ts": 2, "bad_text": 1}, "total": 3}
    assert {one["id"] for one in listed} == {id_of(1), id_of(2), id_of(3)}
    assert shown["value"]["code"] == 7


def test_an_event_is_shown_with_what_is_wrong(quarantine: Call) -> None:
    shown = quarantine("show", id_of(1))

    assert shown.exit_code == 0
    assert "code must be a text [bad_text]" in shown.output
    assert '"code": 7' in shown.output


def test_an_event_is_fixed_field_by_field(quarantine: Call, database: str) -> None:
    still = quarantine("fix", id_of(1), "--set", "type=ITEM")
    fixed = quarantine("fix", id_of(1), "--set", "code=7", "--unset", "box")
    again = quarantine("fix", id_of(1), "--set", "code=8")
    asyncio.run(prepare(database))

    assert (still.exit_code, fixed.exit_code, again.exit_code) == (1, 0, 1)
    assert "code: code must be a text" in still.stderr
    assert event(1)["uuid"] in fixed.stdout
    assert "It was mended" in again.stderr
    assert json.loads(quarantine("count", "--json").stdout)["total"] == 2


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_whole_event_is_read_from_a_file(quarantine: Call, tmp_path: Path, way: str) -> None:
    body = json.dumps(event(2, ts=int(NOON.timestamp() * 1000)))
    file = tmp_path / "event.json"
    file.write_text(body)

    where = str(file) if way == "file" else "-"
    fixed = quarantine("fix", id_of(2), "--file", where, "--json", stdin=body)

    assert fixed.exit_code == 0
    assert json.loads(fixed.stdout)["scanId"] == event(2)["uuid"]


def test_events_are_tried_again_by_code(
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


def test_an_event_is_given_up(quarantine: Call) -> None:
    dropped = quarantine("drop", id_of(1), "--reason", "a test")
    shown = json.loads(quarantine("show", id_of(1), "--json").stdout)

    assert dropped.exit_code == 0
    assert shown["history"][1]["by"] == "command line"
    assert (shown["status"], shown["history"][1]["reason"]) == ("dropped", "a test")


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", str(UUID(int=1))),
        ("drop", str(UUID(int=1)), "--reason", "x"),
        ("show", id_of(1), "--tenant", "other"),
        ("drop", id_of(1), "--reason", " "),
    ],
    ids=" ".join,
)
def test_a_refusal_is_one_sentence_and_exits_with_1(
    quarantine: Call, arguments: tuple[str, ...]
) -> None:
    refused = quarantine(*arguments)

    assert refused.exit_code == 1
    assert refused.stderr.strip().endswith(".")


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nothing"),
        ("fix", id_of(1)),
        ("fix", id_of(1), "--set", "code"),
        ("replay",),
        ("replay", id_of(1), "--all"),
        ("list", "--status", "lost"),
    ],
    ids=" ".join,
)
def test_who_asks_wrongly_is_told_how(quarantine: Call, arguments: tuple[str, ...]) -> None:
    assert quarantine(*arguments).exit_code == 2


def test_without_a_database_it_says_so(quarantine: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")

    away = quarantine("list")

    assert away.exit_code == 1
    assert "unavailable" in away.stderr
