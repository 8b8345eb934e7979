"""`inbox list | retry | drop`: what a reaction could not do is seen, and decided about."""

from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from services.scale_bridge.__main__ import app
from tests.services.scale_bridge.service import ENVIRONMENT

KEEP = """INSERT INTO scale_bridge.inbox (reaction, tenant, event_id, stream, type, schema_version,
    data, metadata, occurred_at, recorded_at, subject, due_at, attempts, parked_at, error)
    VALUES ('price', 'demo', '%s', 'price-1', 'PriceChanged', 1, '{}', '{}', now(), now(),
    'article 51', now(), 6, now(), 'ValueError: poison')"""
FACT = UUID(int=7)


@pytest.fixture
def run(database: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command of the service, which has one parked fact."""
    from deploy.local.postgres import query

    query(database, f"SET tillstream.tenant = '*'; {KEEP % FACT}")
    given = ENVIRONMENT | {"DATABASE_URL": database, "COLUMNS": "200"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return lambda *words: CliRunner().invoke(app, ["inbox", *words])


def test_what_is_parked_is_listed_and_can_be_given_up(run: Any) -> None:
    listed = run("list")
    assert listed.exit_code == 0, listed.output
    assert all(word in listed.output for word in ("price", str(FACT), "article 51", "poison"))

    assert run("drop", "price", "demo", str(FACT)).exit_code == 0
    assert run("drop", "price", "demo", str(FACT)).exit_code == 1
    assert "nothing is parked" in run("list").output


def test_what_is_parked_can_be_tried_again(run: Any) -> None:
    assert run("retry", "price", "demo", str(FACT)).exit_code == 0
    assert run("retry", "price", "other", str(FACT)).exit_code == 1
    assert "nothing is parked" in run("list").output
