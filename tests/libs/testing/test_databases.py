"""Every test gets a database like new, whatever the previous test did."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from libs.testing.databases import FINGERPRINT, _at, _DatabasePool, _run
from libs.testing.shared_servers import NotStarted, Servers, address_of

SEQUENCE = "SELECT nextval(pg_get_serial_sequence('ingest.events', 'position'))"
ROWS = """INSERT INTO ingest.presence (tenant, operator, last_seen_at)
SELECT 'demo', repeat('x', 100) || n, now() FROM generate_series(1, {}) AS n"""


async def state(url: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return [
            await connection.fetchval(FINGERPRINT),
            await connection.fetchval("SELECT count(*) FROM ingest.presence"),
            await connection.fetchval(
                "SELECT string_agg(version_num, ',') FROM ingest.schema_version"
            ),
            await connection.fetchval(SEQUENCE),
        ]
    finally:
        await connection.close()


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@pytest.fixture
def databases(postgres_url: str) -> _DatabasePool:
    return _DatabasePool(postgres_url, "ingest")


async def renew(
    databases: _DatabasePool, url: str, change: Callable[[str], Awaitable[None]]
) -> str:
    """The name of the database that follows after a test that did `change`."""
    await change(url)
    return _run(databases._renew(url.rpartition("/")[2])).result()


async def test_rows_and_sequences_are_as_migrated(
    databases: _DatabasePool, postgres_url: str
) -> None:
    with databases.database() as url:
        before = await state(url)

        again = await renew(databases, url, lambda url: execute(url, ROWS.format(1), SEQUENCE))

        assert url.endswith(again), "rows alone are no reason for a new copy"
        assert await state(_at(postgres_url, again)) == before


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE ingest.events ADD COLUMN more text",
        "DROP TABLE ingest.presence",
        "CREATE SCHEMA next",
        "GRANT DELETE ON ingest.events TO tillstream_ingest",
        "ALTER TABLE ingest.events DISABLE TRIGGER ALL",
        "DROP POLICY tenant ON ingest.scan_log",
        ROWS.format(100_000),
    ],
    ids=["column", "table", "schema", "right", "trigger", "policy", "volume"],
)
async def test_a_database_that_a_wipe_cannot_restore_is_dropped(
    databases: _DatabasePool, postgres_url: str, change: str
) -> None:
    with databases.database() as url:
        before = (await state(url))[1:]

        again = await renew(databases, url, lambda url: execute(url, change))

        assert not url.endswith(again)
        assert (await state(_at(postgres_url, again)))[1:] == before


async def test_connections_of_the_previous_test_are_closed(databases: _DatabasePool) -> None:
    with databases.database() as url:
        left = await asyncpg.connect(url)
        await left.execute("BEGIN; LOCK TABLE ingest.events")

        await renew(databases, url, execute)

        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError)):
            await left.execute("SELECT 1")


def test_a_server_that_cannot_start_fails_every_test_that_needs_it() -> None:
    starts: list[str] = []

    def broken() -> Any:
        starts.append("once")
        raise OSError("no room on the disk")

    servers = Servers({"kafka": broken})
    try:
        for _ in range(2):
            with pytest.raises(NotStarted, match="no room on the disk"):
                address_of("kafka", servers.endpoint)
    finally:
        servers.close()

    assert starts == ["once"]
