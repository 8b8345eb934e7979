"""What the daemon keeps outlives it, and is told until somebody has heard it."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import uuid4

import pytest

from services.scale_bridge.adapters.bridge_rows import REMEMBERED_SECONDS
from services.scale_bridge.adapters.bridge_store import BridgeStore, open_bridge_store
from services.scale_bridge.domain.bridge_message import Report, Stage, Work

SEALED = b"sealed to the bridge, whatever it is"
BEGAN = Report(stage=Stage.BEGAN, attempt=1)
ENDED = Report(stage=Stage.ENDED, attempt=1, outcome="done", content="aaaa")


def some_work(catalogue: str | None = None, known: str | None = None) -> Work:
    return Work(
        operation_id=uuid4(),
        device_id=uuid4(),
        kind="upload",
        full=False,
        address="192.168.1.9",
        port=1111,
        password=SEALED,
        seconds_left=100.0,
        catalogue=catalogue,
        known=known,
    )


@pytest.fixture
def now() -> list[float]:
    return [1_000_000.0]


def opened(home: Path, now: list[float]) -> AbstractAsyncContextManager[BridgeStore]:
    return open_bridge_store(home / "operations.sqlite3", lambda: now[0])


async def numbers(store: BridgeStore) -> list[int]:
    return [reported.number for _, reported in await store.reports()]


async def test_work_is_kept_once_and_outlives_the_process(tmp_path: Path, now: list[float]) -> None:
    work = some_work(catalogue="cccc")
    async with opened(tmp_path, now) as store:
        assert await store.keep(work, {"cccc": b"packed"})
        assert not await store.keep(work, {"cccc": b"packed"})
        assert await store.begin(work.operation_id)
        assert not await store.begin(work.operation_id)
    async with opened(tmp_path, now) as store:
        [task] = await store.tasks()
        assert (task.work, task.begun, task.until) == (work, True, now[0] + 100.0)
        assert await store.content("cccc") == b"packed"
        assert await store.holding() == [work.operation_id]


async def test_an_operation_ends_once(tmp_path: Path, now: list[float]) -> None:
    work = some_work()
    async with opened(tmp_path, now) as store:
        await store.keep(work, {})
        assert await store.report(work.operation_id, BEGAN)
        ends = await asyncio.gather(
            *(store.report(work.operation_id, ENDED, {"aaaa": b"read"}) for _ in range(5))
        )
        assert sorted(ends) == [False] * 4 + [True]
        assert not await store.report(work.operation_id, BEGAN)
        assert not await store.report(uuid4(), BEGAN)
        assert await store.tasks() == []
        assert [reported.report for _, reported in await store.reports()] == [BEGAN, ENDED]


async def test_what_is_over_does_not_begin_again(tmp_path: Path, now: list[float]) -> None:
    work = some_work()
    async with opened(tmp_path, now) as store:
        await store.keep(work, {})
        await store.report(work.operation_id, ENDED)
        await store.settle(work.operation_id, 1)
        assert await store.holding() == []
        assert not await store.keep(work, {})
        assert await store.tasks() == []
        # So long after that nobody sends it any more.
        now[0] += REMEMBERED_SECONDS + 1
        await store.settle(uuid4(), 1)
        assert await store.keep(work, {})


async def test_reports_are_told_until_they_are_settled(tmp_path: Path, now: list[float]) -> None:
    work = some_work()
    async with opened(tmp_path, now) as store:
        await store.keep(work, {})
        await store.report(work.operation_id, BEGAN)
    now[0] += 50.0
    async with opened(tmp_path, now) as store:
        [(place, reported)] = await store.reports()
        assert (reported.number, reported.seconds_ago) == (1, 50.0)
        assert await store.reports(place) == []
        await store.settle(work.operation_id, 1)
        assert await store.reports() == []
        await store.report(work.operation_id, ENDED, {"aaaa": b"read"})
        # Neither the number nor the place is anybody else's, although nothing is left of those.
        [(later, reported)] = await store.reports(place)
        assert (reported.number, later > place) == (2, True)
        assert await store.holding() == [work.operation_id]


async def test_catalogues_go_when_nobody_needs_them(tmp_path: Path, now: list[float]) -> None:
    one, other = some_work(catalogue="cccc", known="kkkk"), some_work(catalogue="cccc")
    async with opened(tmp_path, now) as store:
        await store.keep(one, {"cccc": b"c", "kkkk": b"k"})
        await store.keep(other, {"cccc": b"c"})
        await store.report(one.operation_id, ENDED, {"aaaa": b"a"})
        await store.settle(uuid4(), 1)
        kept = {md5 for md5 in ("aaaa", "cccc", "kkkk") if await store.content(md5)}
        assert kept == {"aaaa", "cccc"}
        await store.settle(one.operation_id, 1)
        await store.report(other.operation_id, ENDED)
        await store.settle(other.operation_id, 1)
        assert [await store.content(md5) for md5 in ("aaaa", "cccc")] == [None, None]


async def test_a_sealed_password_goes_with_its_operation(tmp_path: Path, now: list[float]) -> None:
    work = some_work()
    sealed = b"c2VhbGVkIHRvIHRoZSBicmlkZ2U"  # as JSON writes bytes
    async with opened(tmp_path, now) as store:
        await store.keep(work, {})
        assert any(sealed in file.read_bytes() for file in files_of(tmp_path))
        await store.report(work.operation_id, ENDED)
    assert not any(sealed in file.read_bytes() for file in files_of(tmp_path))


async def test_completed_exchanges_are_counted(tmp_path: Path, now: list[float]) -> None:
    async with opened(tmp_path, now) as store:
        assert ((await store.exchanges()).completed, (await store.exchanges()).last_at) == (0, None)
        await store.completed()
        now[0] += 5
        await store.completed()
    async with opened(tmp_path, now) as store:
        found = await store.exchanges()
        assert (found.completed, found.last_at) == (2, now[0])


def files_of(home: Path) -> list[Path]:
    return list(home.iterdir())
