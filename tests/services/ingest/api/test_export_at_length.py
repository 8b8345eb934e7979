"""Exports that take long: in flat memory, whole or visibly broken, and nothing left behind.

Longer than most: what a long answer meets on its way is one story.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from libs.postgres.pool import Pool
from libs.process.lifecycle import serve
from services.ingest.adapters import workbook
from tests.services.ingest.told import a_scan, in_envelope, project

EVERY = pytest.mark.parametrize("path", ["csv", "boxes-csv", "excel"])
LONG = 200_000
CEILING = 40 * 1024 * 1024
"""Far less than that many rows, and far less than their CSV and one page of them again."""

SEED = """
INSERT INTO scan_log (tenant, day, scan_id, kind, operator, client, city, box, code, details,
    source, scanned_at, received_at, effective_at, skewed)
SELECT 'demo', '2025-10-31', ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid,
    'ITEM', 'anna', 'ivancov', 'Novosem', 'ivancov/' || n % 100, n::text, repeat('x', $2),
    'pwa', t, t, t, false
FROM (SELECT n, timestamptz '2025-10-31 00:00:00+03' + n * interval '1 ms' FROM
    generate_series(1, $1) n) AS scans (n, t)
"""


@pytest.fixture
async def address(app: FastAPI) -> AsyncIterator[str]:
    """Where the app is served by the server it really runs on."""
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(app, "127.0.0.1", 0, stop=stop, listening=port.set_result))
    yield f"http://127.0.0.1:{await port}/api/v1/export"
    stop.set()
    await serving


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def seed(pool: Pool, rows: int, width: int = 0) -> None:
    await pool.execute(SEED, rows, width)


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + 30
    while not await holds():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.05)


async def exporters(database: str) -> list[int]:
    """The database's processes that stand in an export's snapshot."""
    connection = await asyncpg.connect(database)
    try:
        found = await connection.fetch(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'test-reading'"
            " AND datname = current_database() AND xact_start IS NOT NULL"
        )
        return [row["pid"] for row in found]
    finally:
        await connection.close()


def writers() -> list[psutil.Process]:
    """Processes of ours that write workbooks."""
    return [
        child
        for child in psutil.Process().children()
        if child.is_running() and any("workbook_writer" in word for word in child.cmdline())
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_memory_does_not_grow_with_the_rows(
    app: FastAPI, viewer: AsyncClient, pool: Pool
) -> None:
    await seed(pool, LONG, 100)

    for path in ("csv", "boxes-csv", "excel"):
        size, growth = await streamed(app, path, viewer.headers["authorization"])
        assert size > LONG * 20
        assert growth < CEILING, path


async def streamed(app: FastAPI, path: str, authorization: str) -> tuple[int, int]:
    """How many bytes an export had, and by how many we and its writer grew after the first."""
    us = psutil.Process()
    size, before, peak = 0, 0, 0

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        nonlocal size, before, peak
        size += len(message.get("body", b""))
        now = us.memory_info().rss + sum(each.memory_info().rss for each in writers())
        before, peak = before or now, max(peak, now)

    await app(
        {
            "type": "http",
            "method": "GET",
            "path": f"/api/v1/export/{path}",
            "query_string": b"date=2025-10-31",
            "headers": [(b"authorization", authorization.encode())],
        },
        receive,
        send,
    )
    return size, peak - before


@EVERY
async def test_a_database_that_goes_away_breaks_the_connection(
    address: str, viewer: AsyncClient, pool: Pool, database: str, path: str, temporary: Path
) -> None:
    # More than all the buffers on the way together.
    await seed(pool, 20_000, 2000)
    async with (
        aiohttp.ClientSession(headers=dict(viewer.headers)) as session,
        session.get(f"{address}/{path}", params={"date": "2025-10-31"}) as answer,
    ):
        assert answer.status == 200
        await answer.content.readany()
        (pid,) = await exporters(database)
        connection = await asyncpg.connect(database)
        assert await connection.fetchval("SELECT pg_terminate_backend($1)", pid)
        await connection.close()

        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()

    assert not left_in(temporary)
    again = await viewer.get(f"/api/v1/export/{path}", params={"date": "2025-10-30"})
    assert again.status_code == 200


@EVERY
async def test_a_client_that_leaves_leaves_nothing_behind(
    address: str, app: FastAPI, viewer: AsyncClient, pool: Pool, database: str, path: str,
    temporary: Path,
) -> None:  # fmt: skip
    await seed(pool, 20_000, 2000)
    async with aiohttp.ClientSession(headers=dict(viewer.headers)) as session:
        answer = await session.get(f"{address}/{path}", params={"date": "2025-10-31"})
        await answer.content.readany()
        assert len(await exporters(database)) == 1
        assert app.state.deps.exports.locked()
        answer.close()

    async def all_is_gone() -> bool:
        return not (
            app.state.deps.exports.locked()
            or await exporters(database)
            or writers()
            or left_in(temporary)
        )

    await until(all_is_gone, "the turn, the snapshot, the writer, its files")


async def test_a_writer_that_dies_breaks_the_connection(
    address: str, viewer: AsyncClient, pool: Pool, temporary: Path
) -> None:
    await seed(pool, 20_000, 2000)
    async with (
        aiohttp.ClientSession(headers=dict(viewer.headers)) as session,
        session.get(f"{address}/excel", params={"date": "2025-10-31"}) as answer,
    ):
        await answer.content.readany()
        (writer,) = writers()
        writer.kill()

        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()

    assert not left_in(temporary)


@EVERY
async def test_the_head_leaves_before_the_rows_are_there(
    address: str, viewer: AsyncClient, pool: Pool, database: str, path: str
) -> None:
    await seed(pool, 10)
    blocking = await asyncpg.connect(database)
    async with (
        blocking.transaction(),
        aiohttp.ClientSession(headers=dict(viewer.headers)) as session,
    ):
        await blocking.execute("LOCK TABLE ingest.scan_log IN ACCESS EXCLUSIVE MODE")

        async with session.get(f"{address}/{path}", params={"date": "2025-10-31"}) as answer:
            assert answer.status == 200
            assert await answer.content.readany()
            answer.close()
    await blocking.close()


async def test_what_follows_the_last_line_comes_whole_through_the_server(
    address: str, viewer: AsyncClient, pool: Pool
) -> None:
    await seed(pool, 1000)
    asked = {"date": "2025-10-31"}
    async with aiohttp.ClientSession(headers=dict(viewer.headers)) as session:
        async with session.get(f"{address}/csv", params=asked) as answer:
            lines = (await answer.read()).splitlines(keepends=True)
        for at in (1, 500, 1000):
            after = lines[at].partition(b";")[0].decode()
            async with session.get(f"{address}/csv", params=asked | {"after": after}) as answer:
                assert await answer.read() == b"".join(lines[at + 1 :])


async def test_the_connection_is_free_while_a_workbook_leaves(
    address: str, viewer: AsyncClient, pool: Pool, database: str
) -> None:
    scans = [a_scan(n, details=f"{n:x}" * 500) for n in range(1, 3000)]
    await project(pool, [in_envelope(scan) for scan in scans])
    async with (
        aiohttp.ClientSession(headers=dict(viewer.headers)) as session,
        session.get(f"{address}/excel") as answer,
    ):
        size = 0
        while size <= len(workbook.BEGINNING):
            size += len(await answer.content.readany())
        assert not await exporters(database)
        await answer.read()


async def test_a_database_that_is_away_from_the_start_is_503(
    app: FastAPI, viewer: AsyncClient
) -> None:
    nowhere = await asyncpg.create_pool("postgresql://nobody@127.0.0.1:1/none", min_size=0)
    app.state.deps = replace(app.state.deps, reading=nowhere)

    for path in ("csv", "boxes-csv", "excel"):
        answer = await viewer.get(f"/api/v1/export/{path}")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    await nowhere.close()
