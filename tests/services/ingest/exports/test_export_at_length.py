"""Long exports: flat memory, complete or visibly broken, no resources left."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest

from libs.export import workbook
from libs.testing.polling import eventually
from tests.services.ingest.history import a_scan, fill
from tests.services.ingest.importing import files_in
from tests.services.ingest.service import Service, served

FORMATS = ("csv", "boxes-csv", "excel")
EVERY = pytest.mark.parametrize("kind", FORMATS)
DAY = {"date": "2025-10-31"}
LONG = 200_000
CEILING = 40 * 1024 * 1024
"""Far less than that many rows, and far less than their CSV and one page of them again."""

SEED = """
INSERT INTO scan_log (tenant, day, scan_id, kind, operator, client, city, box, code, details,
    source, scanned_at, received_at, effective_at, skewed)
SELECT 'demo', '2025-10-31', ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid,
    'ITEM', 'anna', 'ivancov', 'Novosem', 'ivancov/' || n % 100, n::text, repeat('x', {width}),
    'pwa', t, t, t, false
FROM (SELECT n, timestamptz '2025-10-31 00:00:00+03' + n * interval '1 ms' FROM
    generate_series(1, {rows}) n) AS scans (n, t)
"""


Session = aiohttp.ClientSession


@pytest.fixture
async def session(ingest: Service) -> AsyncIterator[Session]:
    """A viewer of the API on the server it really runs on."""
    headers = dict(ingest.viewer.headers)
    async with served(ingest.app) as url, Session(url, headers=headers) as client:
        yield client


async def export(session: Session, kind: str, **params: str) -> aiohttp.ClientResponse:
    """The beginning of an answer."""
    return await session.get(f"/api/v1/export/{kind}", params=DAY | params)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


async def seed(database: str, rows: int, width: int = 0) -> None:
    await fill(database, SEED.format(rows=rows, width=width))


@asynccontextmanager
async def connected(database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def exporters(database: str) -> list[int]:
    """The database's processes that serve an export's snapshot."""
    async with connected(database) as connection:
        rows = await connection.fetch(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'test-reading'"
            " AND datname = current_database() AND xact_start IS NOT NULL"
        )
    return [row["pid"] for row in rows]


def writers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if is_writer(child)]


def is_writer(child: psutil.Process) -> bool:
    try:
        return any("workbook_writer" in word for word in child.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


@pytest.mark.system
@pytest.mark.timeout(900)
async def test_memory_does_not_grow_with_the_rows(ingest: Service, database: str) -> None:
    await seed(database, LONG, 100)

    for kind in FORMATS:
        size, growth = await streamed(ingest, kind)
        assert size > LONG * 20
        assert growth < CEILING, kind


async def streamed(ingest: Service, kind: str) -> tuple[int, int]:
    """How many bytes an export had, and by how many we and its writer grew after the first."""
    us = psutil.Process()
    size, before, peak = 0, 0, 0

    requests = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        return next(requests, None) or await asyncio.Event().wait()

    async def send(message: Any) -> None:
        nonlocal size, before, peak
        size += len(message.get("body", b""))
        now = us.memory_info().rss + sum(writer.memory_info().rss for writer in writers())
        before, peak = before or now, max(peak, now)

    await ingest.app(
        {
            "type": "http",
            "method": "GET",
            "path": f"/api/v1/export/{kind}",
            "query_string": b"date=2025-10-31",
            "headers": [(b"authorization", ingest.viewer.headers["authorization"].encode())],
        },
        receive,
        send,
    )
    return size, peak - before


@EVERY
async def test_losing_the_database_breaks_the_connection(
    session: Session, database: str, kind: str, temporary: Path
) -> None:
    # More than all the buffers on the way together.
    await seed(database, 20_000, 2000)
    async with await export(session, kind) as answer:
        assert answer.status == 200
        await answer.content.readany()
        (pid,) = await exporters(database)
        async with connected(database) as connection:
            assert await connection.fetchval("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()

    assert not files_in(temporary)
    async with await export(session, kind, date="2025-10-30") as again:
        assert again.status == 200


@EVERY
async def test_a_client_that_disconnects_leaves_no_resources(
    session: Session, ingest: Service, database: str, kind: str, temporary: Path
) -> None:
    await seed(database, 20_000, 2000)
    answer = await export(session, kind)
    await answer.content.readany()
    assert len(await exporters(database)) == 1
    assert ingest.deps.export_slots.locked()
    answer.close()

    async def nothing_remains() -> bool:
        left = [*await exporters(database), *writers(), *files_in(temporary)]
        return not (left or ingest.deps.export_slots.locked())

    await eventually(nothing_remains, what="no turn, snapshot, writer or file to be left")


async def test_a_failed_writer_breaks_the_connection(
    session: Session, database: str, temporary: Path
) -> None:
    await seed(database, 20_000, 2000)
    async with await export(session, "excel") as answer:
        await answer.content.readany()
        (writer,) = writers()
        writer.kill()

        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()

    assert not files_in(temporary)


@EVERY
async def test_the_headers_are_sent_before_the_first_row(
    session: Session, database: str, kind: str
) -> None:
    await seed(database, 10)
    async with connected(database) as blocking, blocking.transaction():
        await blocking.execute("LOCK TABLE ingest.scan_log IN ACCESS EXCLUSIVE MODE")

        async with await export(session, kind) as answer:
            assert answer.status == 200
            assert await answer.content.readany()
            answer.close()


async def test_a_download_is_continued_after_its_last_line(session: Session, database: str) -> None:
    await seed(database, 1000)
    async with await export(session, "csv") as answer:
        lines = (await answer.read()).splitlines(keepends=True)
    for at in (1, 500, 1000):
        after = lines[at].partition(b";")[0].decode()
        async with await export(session, "csv", after=after.upper()) as answer:
            assert await answer.read() == b"".join(lines[at + 1 :])


async def test_the_connection_is_released_while_a_workbook_is_sent(
    session: Session, ingest: Service, database: str
) -> None:
    await ingest.record(*(a_scan(n, details=f"{n:x}" * 500) for n in range(1, 3000)))
    async with await export(session, "excel") as answer:
        size = 0
        while size <= len(workbook.ZIP_HEADER):
            size += len(await answer.content.readany())
        assert not await exporters(database)
        await answer.read()


async def test_without_a_database_an_export_is_503(ingest: Service) -> None:
    nowhere = await asyncpg.create_pool("postgresql://nobody@127.0.0.1:1/none", min_size=0)
    ingest.change(reading=nowhere)

    for kind in FORMATS:
        answer = await ingest.viewer.get(f"/api/v1/export/{kind}")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    await nowhere.close()
