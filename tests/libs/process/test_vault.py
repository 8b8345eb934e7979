"""The vault of a service: its handlers seal, its commands forget, its worker purges."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import uuid4

import pytest
from fastapi import APIRouter, Depends
from typer.testing import CliRunner, Result

from libs.http.auth import public
from libs.process.commands import command_line
from libs.process.context import ApiSettings, running
from libs.process.service import Service, open_tasks
from libs.process.vault_purge import purge_job
from libs.security.data_keys import Subject
from libs.security.sealing import generate_key
from libs.security.vault import VaultSettings
from libs.testing.pools import system_pool
from libs.testing.services import ServiceKit, open_kit
from tests.libs.guests import STAY, migrate_inn

NOON: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
ANNA: Final = Subject("demo", uuid4())
OLD, NEW = generate_key(), generate_key()


class Settings(VaultSettings, ApiSettings):
    """Read from `INN_…`."""


SERVICE: Final = Service(name="inn", settings=Settings, personal=(STAY,))


@pytest.fixture
def variables(empty_database: str, tmp_path: Path) -> Mapping[str, str]:
    """The environment of an inn, whose database is migrated."""
    migrate_inn(empty_database, tmp_path, whole=True)
    return {
        "DATABASE_URL": empty_database,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "TILLSTREAM_PROFILE": "demo",
        "INN_JWKS_URL": "http://127.0.0.1:1/jwks.json",
        "INN_SEAL_KEYS": OLD,
    }


def run(variables: Mapping[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(command_line(SERVICE), ["vault", *arguments], env={**variables})


async def test_routes_seal_and_open_with_the_vault_of_their_context(
    variables: Mapping[str, str],
) -> None:
    router = APIRouter(dependencies=[Depends(public)])

    @router.get("/guest")
    async def guest(context: Annotated[Any, Depends(running)]) -> Any:
        return await context.vault.open(ANNA, await context.vault.seal(ANNA, "Anna"))

    service = replace(SERVICE, routers=(router,))
    settings = Settings.from_env("INN", variables)
    async with open_kit(ServiceKit, service, settings) as kit, kit.anonymous() as client:
        assert (await client.get("/guest")).json() == "Anna"


async def test_a_projection_opens_with_what_the_settings_give_it(
    variables: Mapping[str, str],
) -> None:
    settings = Settings.from_env("INN", variables)
    async with (
        open_kit(ServiceKit, SERVICE, settings) as kit,
        kit.deps.system.acquire() as connection,
        connection.transaction(),
    ):
        sealed = await kit.deps.vault.seal(ANNA, "Anna")
        reader = settings.vault_reader()
        assert await reader.open_many(connection, [(ANNA, sealed)]) == ["Anna"]


async def test_a_service_without_a_vault_has_neither_vault_nor_commands(
    variables: Mapping[str, str],
) -> None:
    class Plain(ApiSettings):
        """Read from `INN_…`."""

    service = Service(name="inn", settings=Plain)
    async with open_kit(ServiceKit, service, Plain.from_env("INN", variables)) as kit:
        with pytest.raises(LookupError):
            _ = kit.deps.vault
    assert CliRunner().invoke(command_line(service), ["vault", "forgotten"]).exit_code == 2


async def _seal_and_book(variables: Mapping[str, str]) -> str:
    """Anna's sealed name, and a row of hers in a read model."""
    settings = Settings.from_env("INN", variables)
    async with open_kit(ServiceKit, SERVICE, settings) as kit:
        await kit.execute(
            "INSERT INTO stay (tenant, number, guest_id, name) VALUES ('demo', 1, $1, 'Anna')",
            ANNA.id,
        )
        return str(await kit.deps.vault.seal(ANNA, "Anna"))


async def _open(variables: Mapping[str, str], sealed: str) -> Any:
    settings = Settings.from_env("INN", variables)
    async with open_kit(ServiceKit, SERVICE, settings) as kit:
        return await kit.deps.vault.open(ANNA, sealed)


async def _value(variables: Mapping[str, str], query: str) -> Any:
    async with system_pool(variables["DATABASE_URL"], "inn") as pool:
        return await pool.fetchval(query)


def test_forget_erases_a_person_and_prints_a_receipt_each_time(
    variables: Mapping[str, str],
) -> None:
    sealed = asyncio.run(_seal_and_book(variables))

    done, again = (run(variables, "forget", "demo", ANNA.id) for _ in range(2))

    receipt = json.loads(done.output)
    assert (done.exit_code, receipt["tenant"], receipt["subject"]) == (0, "demo", ANNA.id)
    assert "@" in receipt["forgotten_by"]
    assert again.output == done.output == run(variables, "forgotten").output
    assert run(variables, "forgotten", "--since", "2100-01-01").output == ""
    assert not isinstance(asyncio.run(_open(variables, sealed)), str)
    assert asyncio.run(_value(variables, "SELECT name FROM stay")) is None


def test_the_list_of_the_forgotten_is_replayed_in_a_restored_database(
    variables: Mapping[str, str], tmp_path: Path
) -> None:
    sealed = asyncio.run(_seal_and_book(variables))
    backup = asyncio.run(_value(variables, "SELECT wrapped_key FROM vault_key"))
    receipts, changed = tmp_path / "forgotten.jsonl", tmp_path / "changed.jsonl"
    receipts.write_text(run(variables, "forget", "demo", ANNA.id).output + "\n")
    changed.write_text(receipts.read_text().replace("demo", "other"))
    restore = (
        f"UPDATE vault_key SET wrapped_key = '\\x{backup.hex()}',"
        " forgotten_at = NULL, forgotten_by = NULL"
    )
    asyncio.run(_value(variables, restore))
    assert asyncio.run(_open(variables, sealed)) == "Anna"

    refused = run(variables, "replay", str(changed))
    assert refused.exit_code == 1
    assert asyncio.run(_open(variables, sealed)) == "Anna"
    done = run(variables, "replay", str(receipts))
    assert (done.exit_code, done.output) == (0, "1 persons are forgotten\n")
    assert not isinstance(asyncio.run(_open(variables, sealed)), str)


def test_a_list_that_is_none_is_refused_with_the_number_of_the_line(
    variables: Mapping[str, str], tmp_path: Path
) -> None:
    receipts = tmp_path / "forgotten.jsonl"
    receipts.write_text('\n{"tenant": "demo"}\n')

    refused = run(variables, "replay", str(receipts))

    assert refused.exit_code == 2
    assert "line 2" in refused.output


def test_after_rewrap_the_old_service_key_is_needed_no_more(
    variables: Mapping[str, str],
) -> None:
    sealed = asyncio.run(_seal_and_book(variables))
    rotated = {**variables, "INN_SEAL_KEYS": f"{NEW},{OLD}"}

    assert run(rotated, "rewrap").output == "1 keys wrapped anew\n"

    assert asyncio.run(_open({**variables, "INN_SEAL_KEYS": NEW}, sealed)) == "Anna"


def test_purge_says_how_many_persons_are_gone_from_the_files(
    variables: Mapping[str, str],
) -> None:
    assert run(variables, "purge").output == "0 persons purged from 0 tables\n"
    run(variables, "forget", "demo", ANNA.id)

    assert run(variables, "purge").output == "1 persons purged from 2 tables\n"


async def test_the_worker_purges_in_the_hour_of_its_settings_only(
    variables: Mapping[str, str],
) -> None:
    settings = Settings.from_env("INN", {**variables, "INN_PURGE_HOUR": "12"})
    async with open_kit(ServiceKit, SERVICE, settings) as kit:
        await kit.deps.vault.forget(ANNA, by="admin", at=NOON)
        query = "SELECT purged_at IS NOT NULL FROM vault_key"

        await purge_job("inn", settings, [STAY], clock=lambda: NOON.replace(hour=13)).run()
        assert not await kit.fetch_value(query)
        await purge_job("inn", settings, [STAY], clock=lambda: NOON).run()
        assert await kit.fetch_value(query)


async def test_a_worker_of_a_service_with_a_vault_has_the_purge_among_its_tasks(
    variables: Mapping[str, str],
) -> None:
    async with open_tasks(SERVICE, Settings.from_env("INN", variables)) as tasks:
        assert len(tasks) == 1
