"""A service is data: what is not its own is built by the frame."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import uuid4

import aiohttp
import pytest
import typer
from fastapi import APIRouter, Depends

from contracts.gateway import SESSIONS
from deploy.local.ports import free_port
from libs.errors import Refused
from libs.http.auth import public
from libs.messaging.topics import TopicSpec, ensure_topics
from libs.postgres import guarded_pool
from libs.postgres.doorbell import Doorbell
from libs.postgres.migrate import migrate
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.process.context import ApiContext, extended, running
from libs.process.database_command import run_command
from libs.process.lifecycle import Task
from libs.process.periodic import Periodic
from libs.process.service import open_tasks
from libs.testing.databases import migrated
from libs.testing.polling import eventually
from libs.testing.programs import Program, run_program
from libs.testing.services import ServiceKit, open_kit
from tests.libs.process.toy.bootstrap import SERVICE
from tests.libs.process.toy.settings import Settings

HOME: Final = Path(__file__).parent / "toy"
AWAY: Final = "http://127.0.0.1:1/jwks.json"
COLUMNS: Final = """
SELECT table_name, column_name, data_type, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = $1 AND table_name = ANY($2::text[])
ORDER BY 1, 2"""
TABLES: Final = """
SELECT tablename FROM pg_tables WHERE schemaname = 'bakery' AND tablename <> 'schema_version'"""
RULES: Final = """
SELECT c.relname, pg_get_constraintdef(r.oid) FROM pg_constraint r JOIN pg_class c
ON c.oid = r.conrelid WHERE c.relnamespace = $1::text::regnamespace AND c.relname = ANY($2::text[])
ORDER BY 1, 2"""
POLICIES: Final = """
SELECT tablename, policyname, qual, with_check FROM pg_policies
WHERE schemaname = $1 AND tablename = ANY($2::text[]) ORDER BY 1, 2"""
RIGHTS: Final = """
SELECT table_name, privilege_type FROM information_schema.role_table_grants
WHERE table_schema = $1 AND grantee = 'tillstream_' || $1 AND table_name = ANY($2::text[])
ORDER BY 1, 2"""


@pytest.fixture
def variables(empty_database: str, kafka_bootstrap: str) -> Mapping[str, str]:
    """The environment of the bakery, with a topic prefix of its own."""
    return {
        "DATABASE_URL": empty_database,
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "TILLSTREAM_TOPIC_PREFIX": f"t{uuid4().hex}",
        "TILLSTREAM_PROFILE": "demo",
        "BAKERY_JWKS_URL": AWAY,
    }


@pytest.fixture
async def pool(empty_database: str) -> AsyncIterator[Pool]:
    """The migrated database as its owner sees it."""
    await asyncio.to_thread(migrate, "bakery", empty_database, migrations=SERVICE.migrations)
    async with await _owner(empty_database, "bakery") as opened:
        yield opened


def test_a_new_service_is_five_files_of_seventy_lines_before_its_first_feature() -> None:
    files = [*HOME.rglob("*.py")]

    assert len(files) <= 5
    assert sum(len(file.read_text().splitlines()) for file in files) <= 70


async def test_a_new_service_migrates_starts_and_is_ready(
    variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    topic = TopicSpec(category=SESSIONS, partitions=1, retention_days=1)
    bootstrap = variables["KAFKA_BOOTSTRAP_SERVERS"]
    await ensure_topics(bootstrap, variables["TILLSTREAM_TOPIC_PREFIX"], [topic])

    async with _bakery("migrate") as migration:
        assert await migration.wait_for_exit() == 0, migration.output
    async with _bakery("run") as program, aiohttp.ClientSession() as client:
        [port] = (
            await program.wait_for_output(re.compile(rb'"port": (\d+), "event": "listening"'))
        ).groups()

        async def is_ready() -> bool:
            async with client.get(f"http://127.0.0.1:{port.decode()}/ready") as answer:
                return answer.status == 200

        await eventually(is_ready, what="a ready bakery")
        assert await program.stop() == 0, program.output


async def test_a_new_service_has_the_tables_that_the_others_have_by_now(
    pool: Pool, postgres_url: str
) -> None:
    tables = [row[0] for row in await pool.fetch(TABLES)]
    assert {"events", "inbox", "relay", "projections", "revoked_session"} <= {*tables}

    with migrated(postgres_url, "gateway") as address:
        async with await _owner(address, "gateway") as other:
            for what in (COLUMNS, RULES, POLICIES, RIGHTS):
                ours = await pool.fetch(what, "bakery", tables)
                theirs = await other.fetch(what, "gateway", tables)
                assert [*map(tuple, ours)] == [*map(tuple, theirs)]


async def test_routes_receive_the_context_that_the_service_extends(
    pool: Pool, variables: Mapping[str, str]
) -> None:
    router = APIRouter(dependencies=[Depends(public)])

    @router.get("/loaves")
    async def loaves(context: Annotated[Any, Depends(running)]) -> dict[str, Any]:
        return {"oven": context.oven, "tenants": await context.reading.fetchval("SELECT 7")}

    service = replace(SERVICE, routers=(router,), api_context=_with_oven)
    settings = Settings.from_env("BAKERY", variables)
    async with open_kit(ServiceKit, service, settings) as kit, kit.anonymous() as client:
        assert (await client.get("/loaves")).json() == {"oven": "hot", "tenants": 7}
        checks = {one["name"]: one["ok"] for one in (await client.get("/ready")).json()["checks"]}
        assert checks["database"]
        assert "revocations" in checks


async def test_a_worker_runs_the_tasks_and_the_jobs_that_its_settings_switch_on(
    pool: Pool, variables: Mapping[str, str]
) -> None:
    seen: list[object] = []

    @asynccontextmanager
    async def open_oven(context: Any) -> AsyncIterator[Task]:
        async def heat(_: asyncio.Event) -> None:
            seen.append(context)

        yield heat
        seen.append("closed")

    def bake(context: Any) -> Periodic:
        async def run() -> None:
            seen.append(f"bakes in {context}")

        return Periodic("bake", run, 60)

    service = replace(
        SERVICE,
        context=lambda context: Oven(context.doorbell),
        tasks=(open_oven,),
        jobs=(bake, lambda _: None),
        revocation=None,
    )
    async with open_tasks(service, Settings.from_env("BAKERY", variables)) as tasks:
        stop = asyncio.Event()
        running = [asyncio.ensure_future(task(stop)) for task in tasks]
        await eventually(lambda: len(seen) == 2)
        stop.set()
        await asyncio.gather(*running)

    assert [str(one) for one in seen] == ["the oven", "bakes in the oven", "closed"]


@dataclass(frozen=True)
class Oven:
    """What the worker of a bakery that bakes works with."""

    doorbell: Doorbell

    def __str__(self) -> str:
        return "the oven"


@pytest.mark.parametrize(
    ("status", "text"),
    [(0, ""), (3, ""), (1, "The dough is cold.")],
    ids=["done", "own", "refused"],
)
def test_a_command_exits_with_its_own_status_or_with_1_if_refused(
    variables: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    text: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    migrate("bakery", variables["DATABASE_URL"], migrations=SERVICE.migrations)

    async def work(context: ApiContext[Settings, Any]) -> int:
        assert await context.system.fetchval("SELECT 7") == 7
        if text:
            raise Refused(text)
        return status

    with pytest.raises(typer.Exit) as end:
        run_command(SERVICE, work)

    assert (end.value.exit_code, capsys.readouterr().err.strip()) == (status, text)


def test_a_command_exits_with_1_if_the_database_is_away(
    variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    away = {"DATABASE_URL": f"postgresql://a:b@127.0.0.1:{free_port()}/none"}
    for name, value in {**variables, **away}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(guarded_pool, "CONNECT_SECONDS", 0.5)

    async def work(_: Any) -> None:
        raise AssertionError("there is no database")

    with pytest.raises(typer.Exit) as end:
        run_command(SERVICE, work)

    assert end.value.exit_code == 1


@dataclass(frozen=True, kw_only=True)
class WithOven(ApiContext[Settings, Any]):
    """What the routes of a bakery that bakes receive."""

    oven: str


def _with_oven(api: ApiContext[Settings, Any]) -> WithOven:
    return extended(WithOven, api, oven="hot")


def _bakery(*arguments: str) -> AbstractAsyncContextManager[Program]:
    return run_program("toy", *arguments, package="tests.libs.process")


async def _owner(address: str, service: str) -> Pool:
    return await open_pool(
        address,
        role=None,
        schema=service,
        size=2,
        application_name="test",
        tenant_scope=SYSTEM,
    )
