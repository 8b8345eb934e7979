"""The databases of tests are as new for every test, whatever the test before did to its own."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from libs.testing.databases import FINGERPRINT, _at, _run, _Stock
from libs.testing.shared_servers import NotStarted, Servers, address_of

SEQUENCE = "SELECT nextval(pg_get_serial_sequence('ingest.events', 'position'))"
ROWS = """INSERT INTO ingest.parked_streams (projection, tenant, stream, reason, error)
SELECT 'activity', 'demo', repeat('x', 100) || n, '', '' FROM generate_series(1, {}) AS n"""


async def state(url: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return [
            await connection.fetchval(FINGERPRINT),
            await connection.fetchval("SELECT count(*) FROM ingest.parked_streams"),
            await connection.fetchval(
                "SELECT string_agg(version_num, ',') FROM ingest.schema_version"
            ),
            await connection.fetchval(SEQUENCE),
        ]
    finally:
        await connection.close()


async def executed(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@pytest.fixture
def stock(postgres_url: str) -> _Stock:
    return _Stock(postgres_url, "ingest")


async def renewed(stock: _Stock, url: str, spoil: Callable[[str], Awaitable[None]]) -> str:
    """The name of the database that takes its place after a test that did `spoil`."""
    await spoil(url)
    return _run(stock._renewed(url.rpartition("/")[2])).result()


async def test_rows_and_sequences_are_as_migrated(stock: _Stock, postgres_url: str) -> None:
    with stock.one() as url:
        before = await state(url)

        again = await renewed(stock, url, lambda url: executed(url, ROWS.format(1), SEQUENCE))

        assert url.endswith(again), "rows alone are no reason for a new copy"
        assert await state(_at(postgres_url, again)) == before


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE ingest.events ADD COLUMN more text",
        "DROP TABLE ingest.parked_streams CASCADE",
        "CREATE SCHEMA next",
        "GRANT DELETE ON ingest.events TO tillstream_ingest",
        "ALTER TABLE ingest.events DISABLE TRIGGER ALL",
        "DROP POLICY tenant ON ingest.scan_log",
        ROWS.format(100_000),
    ],
    ids=["column", "table", "schema", "right", "trigger", "policy", "volume"],
)
async def test_what_a_wipe_cannot_undo_is_thrown_away(
    stock: _Stock, postgres_url: str, change: str
) -> None:
    with stock.one() as url:
        before = (await state(url))[1:]

        again = await renewed(stock, url, lambda url: executed(url, change))

        assert not url.endswith(again)
        assert (await state(_at(postgres_url, again)))[1:] == before


async def test_connections_of_the_test_before_are_closed(stock: _Stock) -> None:
    with stock.one() as url:
        left = await asyncpg.connect(url)
        await left.execute("BEGIN; LOCK TABLE ingest.events")

        await renewed(stock, url, executed)

        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError)):
            await left.execute("SELECT 1")


def test_a_server_that_cannot_start_fails_every_test_that_asks() -> None:
    starts: list[str] = []

    def broken() -> Any:
        starts.append("once")
        raise OSError("no room on the disk")

    servers = Servers({"kafka": broken})
    try:
        for _ in range(2):
            with pytest.raises(NotStarted, match="no room on the disk"):
                address_of("kafka", servers.door)
    finally:
        servers.close()

    assert starts == ["once"]
