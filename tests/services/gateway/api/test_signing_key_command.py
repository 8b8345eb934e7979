"""`rotate-signing-key`, and what the gateway makes of the file after a restart."""

from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient
from typer.testing import CliRunner

from libs.security.sealing import generate_key
from libs.security.tokens import SigningKey
from services.gateway.__main__ import app
from tests.services.gateway.api.inside import (
    KIOSKS,
    STAFF,
    client_of,
    gateway_on,
    inside,
    somebody,
)

SEAL = generate_key()
JWKS, SESSIONS = "/.well-known/jwks.json", "/api/v1/sessions"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "signing.pem"
    made.write_text(SigningKey.generate().to_pem())
    monkeypatch.setenv("GATEWAY_SIGNING_KEY_FILE", str(made))
    return made


def keys_in(file: Path) -> str:
    return file.read_text()


def rotate(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["rotate-signing-key", *arguments])


async def kids(client: AsyncClient) -> list[str]:
    return [key["kid"] for key in (await client.get(JWKS)).json()["keys"]]


async def test_old_tokens_are_good_and_both_keys_are_published_after_a_restart(
    database: str, file: Path
) -> None:
    async with gateway_on(database, seal_keys=SEAL, signing_key=keys_in(file)) as deps:
        anna = await somebody(deps, STAFF)
        _, old = await inside(deps, anna.account_id, KIOSKS)
        async with client_of(deps) as client:
            before = await kids(client)

    rotated = rotate()
    async with gateway_on(database, seal_keys=SEAL, signing_key=keys_in(file)) as deps:
        _, new = await inside(deps, anna.account_id, KIOSKS)
        async with client_of(deps) as client:
            after = await kids(client)
            answers = [await client.get(SESSIONS, headers=one) for one in (old, new)]

    assert rotated.exit_code == 0, rotated.output
    assert len(after) == 2
    assert after[1:] == before
    assert [answer.status_code for answer in answers] == [200, 200]

    rotate("--keep", "0")
    async with (
        gateway_on(database, seal_keys=SEAL, signing_key=keys_in(file)) as deps,
        client_of(deps) as client,
    ):
        assert len(await kids(client)) == 1
        for headers in (old, new):
            assert (await client.get(SESSIONS, headers=headers)).status_code == 401


def test_it_names_the_keys_and_shows_none(file: Path) -> None:
    done = rotate()

    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["signs", "verifies"]
    assert "PRIVATE" not in done.output


def test_what_cannot_be_done_is_one_sentence(file: Path) -> None:
    file.unlink()

    done = rotate()

    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1


def test_without_a_file_there_is_nothing_to_rotate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_SIGNING_KEY_FILE", raising=False)

    assert rotate().exit_code == 2
