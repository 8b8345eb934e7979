"""The commands: the first administrator, accounts, and the rotation of signing keys."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient
from typer.testing import CliRunner, Result

from libs.security.sealing import generate_key
from libs.security.tokens import SigningKey
from services.gateway.__main__ import app
from services.gateway.accounts.domain.person import email
from services.gateway.sessions.handlers.login import LoginFailed, log_in
from services.gateway.settings import Settings
from tests.services.gateway.app import open_context
from tests.services.gateway.harness import KIOSKS, PLATFORM_WORKSPACE, STAFF, demo_on
from tests.services.gateway.identities import catch_up

Call = Callable[..., Result]
PASSWORD, NEW = "correct horse", "battery staple"
CHIEF = "chief@example.com"
SEAL = generate_key()
JWKS, SESSIONS = "/.well-known/jwks.json", "/api/v1/sessions"


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
    return invoke


def invoke(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


def create(call: Call, address: str = CHIEF, password: str = PASSWORD) -> Result:
    return call("create-admin", "--email", address, stdin=f"{password}\n")


@pytest.fixture
def chief(call: Call) -> None:
    """The first administrator."""
    made = create(call)
    assert made.exit_code == 0, made.output
    assert PASSWORD not in made.output


def logged_in(password: str = PASSWORD) -> Any:
    """Log in as the administrator, and let the read models catch up."""

    async def work() -> Any:
        async with open_context(Settings.from_env("GATEWAY")) as deps:
            where: dict[str, Any] = {
                "realm": PLATFORM_WORKSPACE.realm,
                "tenant": PLATFORM_WORKSPACE.tenant,
                "device": "",
            }
            try:
                return await log_in(
                    deps.identity,
                    **where,
                    address=email(CHIEF),
                    password=password,
                    attempts=None,
                )
            finally:
                await catch_up(deps.identity)

    return asyncio.run(work())


@pytest.mark.parametrize("in_file", [False, True])
def test_email_and_password_are_prompted_for_or_the_password_is_in_a_file(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_file: bool
) -> None:
    if in_file:
        secret = tmp_path / "password"
        secret.write_text(f"{PASSWORD}\n")
        monkeypatch.setenv("GATEWAY_ADMIN_PASSWORD_FILE", str(secret))
        made = call("create-admin", "--email", CHIEF)
    else:
        made = call("create-admin", stdin=f"{CHIEF}\n{PASSWORD}\n")

    assert made.exit_code == 0, made.output
    into = logged_in()
    assert (into.role, into.scopes) == ("superadmin", {"accounts:*", "keys:*"})


@pytest.mark.usefixtures("chief")
@pytest.mark.parametrize(
    ("address", "password", "said"),
    [
        ("nobody", PASSWORD, "not an e-mail"),
        ("a@example.com", "short", "8 to 128"),
        (CHIEF.replace("chief", "CHIEF"), PASSWORD, "has this address already"),
    ],
)
def test_a_refusal_is_one_sentence(call: Call, address: str, password: str, said: str) -> None:
    refused = create(call, address, password)

    assert refused.exit_code == 1
    assert said in refused.stderr
    assert address not in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    logged_in()
    assert json.loads(call("accounts", "list", "--json").stdout)["total"] == 1


@pytest.mark.usefixtures("chief")
def test_accounts_are_listed_and_displayed(call: Call) -> None:
    account = logged_in().account

    def json_of(*arguments: str) -> Any:
        return json.loads(call("accounts", *arguments, "--json").stdout)

    listed = json_of("list")
    names = (CHIEF.title(), str(account.account_id), str(account.number))
    shown = [json_of("show", who) for who in names]

    assert (listed["total"], json_of("list", "--realm", "crm")["total"]) == (1, 0)
    assert listed["accounts"][0]["who"] == CHIEF
    assert listed["accounts"][0]["roles"] == "platform/platform superadmin"
    assert shown == [shown[0]] * 3
    assert len(shown[0]["sessions"]) == 1
    for arguments in (("list",), ("show", CHIEF)):
        assert CHIEF in call("accounts", *arguments).stdout


@pytest.mark.usefixtures("chief")
def test_an_address_of_several_accounts_identifies_none(call: Call) -> None:
    again = ("create-admin", "--email", CHIEF, "--realm", "crm", "--tenant", "demo")
    made = call(*again, "--role", "ADMIN", stdin=f"{NEW}\n")
    assert made.exit_code == 0, made.output
    number = made.stdout.split()[-1]

    # Before the read models know of the second.
    refused = call("accounts", "reset-password", CHIEF, stdin=f"{NEW}\n")
    logged_in()

    assert (refused.exit_code, "Several accounts" in refused.stderr) == (1, True)
    assert call("accounts", "show", CHIEF).exit_code == 1
    assert "crm/demo ADMIN" in call("accounts", "show", number).stdout


@pytest.mark.usefixtures("chief")
def test_the_last_administrator_cannot_be_taken_out_but_another_can(call: Call) -> None:
    logged_in()
    last = call("accounts", "deactivate", CHIEF)
    assert (last.exit_code, "last superadmin" in last.stderr) == (1, True)

    create(call, "second@example.com")
    logged_in()
    assert call("accounts", "deactivate", CHIEF).exit_code == 0
    with pytest.raises(LoginFailed):
        logged_in()
    assert call("accounts", "activate", CHIEF).exit_code == 0
    assert logged_in().role == "superadmin"


def test_an_unknown_user_is_a_404(call: Call) -> None:
    for who in ("nobody@example.com", "77", "00000000-0000-0000-0000-000000000001"):
        shown = call("accounts", "show", who)
        assert shown.exit_code == 1
        assert "no such account" in shown.stderr


@pytest.mark.usefixtures("chief")
def test_a_password_that_was_forgotten_is_set_anew(call: Call) -> None:
    logged_in()

    done, short = [
        call("accounts", "reset-password", CHIEF, stdin=f"{password}\n")
        for password in (NEW, "short")
    ]

    assert (done.exit_code, short.exit_code) == (0, 1)
    assert NEW not in done.output
    with pytest.raises(LoginFailed):
        logged_in()
    assert logged_in(NEW).role == "superadmin"


def test_a_key_is_given_out_for_some_days_and_listed_with_its_end(call: Call) -> None:
    issued, never = [
        call(
            *("keys", "issue", "office", "--scope", "scan:read"),
            *("--expires-days", days, "--per-minute", "60"),
        )
        for days in ("30", "0")
    ]

    assert issued.exit_code == 0, issued.output
    assert "ts_" in issued.stdout
    assert never.exit_code == 2

    async def key_issued() -> Any:
        async with open_context(Settings.from_env("GATEWAY")) as deps:
            (page,) = [page async for page in deps.store.log.read_all()]
            return deps.store.decode(page[0])

    key = asyncio.run(key_issued())
    assert (key.expires_at - key.issued_at).days in (29, 30)
    assert key.requests_per_minute == 60


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a signing key."""
    made = tmp_path / "signing.pem"
    made.write_text(SigningKey.generate().to_pem())
    monkeypatch.setenv("GATEWAY_SIGNING_KEY_FILE", str(made))
    return made


def rotate(*arguments: str) -> Result:
    return invoke("rotate-signing-key", *arguments)


async def kids(client: AsyncClient) -> list[str]:
    return [key["kid"] for key in (await client.get(JWKS)).json()["keys"]]


async def test_old_tokens_and_both_keys_are_valid_after_a_restart(url: str, file: Path) -> None:
    def keys() -> dict[str, str]:
        return {"seal_keys": SEAL, "signing_key": file.read_text()}

    async with demo_on(url, **keys()) as demo:
        anna = await demo.create_account(STAFF)
        _, old = await demo.log_in(anna, KIOSKS)
        before = await kids(demo.client)

    rotated = rotate()
    async with demo_on(url, **keys()) as demo:
        _, new = await demo.log_in(anna, KIOSKS)
        after = await kids(demo.client)
        answers = [await demo.client.get(SESSIONS, headers=one) for one in (old, new)]

    assert rotated.exit_code == 0, rotated.output
    assert [line.split()[0] for line in rotated.stdout.splitlines()] == ["signs", "verifies"]
    assert "PRIVATE" not in rotated.output
    assert len(after) == 2
    assert after[1:] == before
    assert [answer.status_code for answer in answers] == [200, 200]

    rotate("--keep", "0")
    async with demo_on(url, **keys()) as demo:
        assert len(await kids(demo.client)) == 1
        for headers in (old, new):
            assert (await demo.client.get(SESSIONS, headers=headers)).status_code == 401


def test_what_cannot_rotate_is_one_sentence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.unlink()
    missing = rotate()
    monkeypatch.delenv("GATEWAY_SIGNING_KEY_FILE")

    assert missing.exit_code == 1
    assert len(missing.stderr.strip().splitlines()) == 1
    # Without a file there is nothing to rotate.
    assert rotate().exit_code == 2
