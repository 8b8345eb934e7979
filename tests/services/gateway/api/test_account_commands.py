"""Letting somebody in, and looking after accounts, from a command line."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from libs.security.sealing import generate_key
from libs.security.tokens import SigningKey
from services.gateway import bootstrap
from services.gateway.__main__ import app
from services.gateway.domain.realm import PLATFORM, Place
from services.gateway.handlers.login import LoginFailed
from services.gateway.settings import Settings
from tests.services.gateway.told import catch_up, enter

Call = Callable[..., Result]
HOUSE = Place("platform", PLATFORM)
PASSWORD = "correct horse"


@pytest.fixture
def call(database: str, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`python -m services.gateway …` on an empty database."""
    environment = {
        "DATABASE_URL": database,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "GATEWAY_INGEST_URL": "http://127.0.0.1:1",
        "GATEWAY_SIGNING_KEY": SigningKey.generate().to_pem(),
        "GATEWAY_SEAL_KEYS": generate_key(),
        "GATEWAY_REFRESH_KEY": generate_key(),
        "COLUMNS": "200",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, arguments, input=stdin)

    return invoke


def logged_in(password: str = PASSWORD) -> Any:
    """Log in as the administrator, and let the read models catch up."""

    async def work() -> Any:
        async with bootstrap.open_deps(Settings.from_env("GATEWAY")) as deps:
            try:
                return await enter(deps.identity, "chief@example.com", password, HOUSE)
            finally:
                await catch_up(deps.identity)

    return asyncio.run(work())


def create(call: Call) -> None:
    made = call("create-admin", "--email", "chief@example.com", stdin=f"{PASSWORD}\n")
    assert made.exit_code == 0, made.output
    assert PASSWORD not in made.output


def test_the_first_administrator_is_made_and_can_log_in(call: Call) -> None:
    create(call)

    into = logged_in()

    assert (into.role, into.scopes) == ("superadmin", {"accounts:*", "keys:*"})


def test_email_and_password_are_asked_for(call: Call) -> None:
    made = call("create-admin", stdin=f"chief@example.com\n{PASSWORD}\n")

    assert made.exit_code == 0, made.output
    assert logged_in().role == "superadmin"


def test_the_password_may_stand_in_a_file(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("GATEWAY_ADMIN_PASSWORD_FILE", str(secret))

    assert call("create-admin", "--email", "chief@example.com").exit_code == 0
    assert logged_in().role == "superadmin"


@pytest.mark.parametrize(
    ("email", "password", "said"),
    [
        ("nobody", PASSWORD, "not an e-mail"),
        ("a@example.com", "short", "8 to 128"),
        ("CHIEF@example.com", PASSWORD, "else has this address"),
    ],
)
def test_a_refusal_is_one_sentence(call: Call, email: str, password: str, said: str) -> None:
    create(call)

    refused = call("create-admin", "--email", email, stdin=f"{password}\n")

    assert refused.exit_code == 1
    assert said in refused.stderr
    assert email not in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_accounts_are_listed_and_shown(call: Call) -> None:
    create(call)
    into = logged_in()

    listed = json.loads(call("accounts", "list", "--json").stdout)
    in_crm = json.loads(call("accounts", "list", "--realm", "crm", "--json").stdout)
    shown = [
        json.loads(call("accounts", "show", who, "--json").stdout)
        for who in ("Chief@example.com", str(into.account.account_id), str(into.account.number))
    ]

    assert (listed["total"], in_crm["total"]) == (1, 0)
    assert listed["accounts"][0]["who"] == "chief@example.com"
    assert listed["accounts"][0]["roles"] == "platform/platform superadmin"
    assert shown == [shown[0]] * 3
    assert len(shown[0]["sessions"]) == 1
    assert "chief@example.com" in call("accounts", "list").stdout
    assert "chief@example.com" in call("accounts", "show", "chief@example.com").stdout


def test_the_last_administrator_cannot_be_taken_out_but_another_can(call: Call) -> None:
    create(call)
    logged_in()
    last = call("accounts", "deactivate", "chief@example.com")
    assert (last.exit_code, "last superadmin" in last.stderr) == (1, True)

    call("create-admin", "--email", "second@example.com", stdin=f"{PASSWORD}\n")
    logged_in()
    assert call("accounts", "deactivate", "chief@example.com").exit_code == 0
    with pytest.raises(LoginFailed):
        logged_in()
    assert call("accounts", "activate", "chief@example.com").exit_code == 0
    assert logged_in().role == "superadmin"


def test_who_is_not_there_is_said_so(call: Call) -> None:
    for who in ("nobody@example.com", "77", "00000000-0000-0000-0000-000000000001"):
        shown = call("accounts", "show", who)
        assert shown.exit_code == 1
        assert "no such account" in shown.stderr


def test_a_password_that_was_forgotten_is_set_anew(call: Call) -> None:
    create(call)
    logged_in()
    new = "battery staple"

    done = call("accounts", "reset-password", "chief@example.com", stdin=f"{new}\n")
    short = call("accounts", "reset-password", "chief@example.com", stdin="short\n")

    assert (done.exit_code, short.exit_code) == (0, 1)
    assert new not in done.output
    with pytest.raises(LoginFailed):
        logged_in()
    assert logged_in(new).role == "superadmin"


def test_a_key_is_given_out_for_some_days_and_listed_with_its_end(call: Call) -> None:
    issued = call(
        *("keys", "issue", "office", "--scope", "scan:read"),
        *("--expires-days", "30", "--per-minute", "60"),
    )
    never = call("keys", "issue", "office", "--scope", "scan:read", "--expires-days", "0")

    assert issued.exit_code == 0, issued.output
    assert "ts_" in issued.stdout
    assert never.exit_code == 2

    async def told() -> Any:
        async with bootstrap.open_deps(Settings.from_env("GATEWAY")) as deps:
            (page,) = [page async for page in deps.store.log.read_all()]
            return deps.store.decode(page[0])

    key = asyncio.run(told())
    assert (key.expires_at - key.issued_at).days in (29, 30)
    assert key.requests_per_minute == 60
