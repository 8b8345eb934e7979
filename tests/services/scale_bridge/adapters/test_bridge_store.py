"""What the daemon stores outlives it, and is reported until it is settled."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import uuid4

import pytest

from libs.testing.clock import Seconds
from services.scale_bridge.adapters.bridge_rows import REMEMBERED_SECONDS
from services.scale_bridge.adapters.bridge_store import BridgeStore, open_bridge_store
from services.scale_bridge.domain.bridge_message import Report, Stage, Work
from tests.services.scale_bridge.usual import Usual

BEGAN = Report(stage=Stage.BEGAN, attempt=1)
ENDED = Report(stage=Stage.ENDED, attempt=1, outcome="done", content="aaaa")


def some_work(catalogue: str | None = None, known: str | None = None) -> Work:
    made = Usual(password=b"sealed to the bridge, whatever it is", port=1111)
    ids = {"operation_id": uuid4(), "device_id": uuid4()}
    return made(Work, **ids, seconds_left=100.0, catalogue=catalogue, known=known)


class Disk:
    """Where a daemon stores things, and its clock."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = Seconds(1_000_000.0)

    def open(self) -> AbstractAsyncContextManager[BridgeStore]:
        return open_bridge_store(self.home / "operations.sqlite3", self.clock)

    def holds(self, data: bytes) -> bool:
        return any(data in file.read_bytes() for file in self.home.iterdir())


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


async def test_work_is_stored_once_and_outlives_the_process(disk: Disk) -> None:
    work = some_work(catalogue="cccc")
    async with disk.open() as store:
        assert await store.keep(work, {"cccc": b"packed"})
        assert not await store.keep(work, {"cccc": b"packed"})
        assert await store.begin(work.operation_id)
        assert not await store.begin(work.operation_id)
    async with disk.open() as store:
        [task] = await store.tasks()
        assert (task.work, task.begun, task.until) == (work, True, disk.clock.now + 100.0)
        assert await store.content("cccc") == b"packed"
        assert await store.holding() == [work.operation_id]


async def test_an_operation_ends_once(disk: Disk) -> None:
    work = some_work()
    async with disk.open() as store:
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


async def test_what_is_over_does_not_begin_again(disk: Disk) -> None:
    work = some_work()
    async with disk.open() as store:
        await store.keep(work, {})
        await store.report(work.operation_id, ENDED)
        await store.settle(work.operation_id, 1)
        assert await store.holding() == []
        assert not await store.keep(work, {})
        assert await store.tasks() == []
        # So long after that it is not sent any more.
        disk.clock.advance(REMEMBERED_SECONDS + 1)
        await store.settle(uuid4(), 1)
        assert await store.keep(work, {})


async def test_reports_are_repeated_until_they_are_settled(disk: Disk) -> None:
    work = some_work()
    async with disk.open() as store:
        await store.keep(work, {})
        await store.report(work.operation_id, BEGAN)
    disk.clock.advance(50.0)
    async with disk.open() as store:
        [(position, reported)] = await store.reports()
        assert (reported.number, reported.seconds_ago) == (1, 50.0)
        assert await store.reports(position) == []
        await store.settle(work.operation_id, 1)
        assert await store.reports() == []
        await store.report(work.operation_id, ENDED, {"aaaa": b"read"})
        # Neither the number nor the position is used again, although nothing is left of those.
        [(later, reported)] = await store.reports(position)
        assert (reported.number, later > position) == (2, True)
        assert await store.holding() == [work.operation_id]


async def test_catalogues_go_when_they_are_not_needed(disk: Disk) -> None:
    one, other = some_work(catalogue="cccc", known="kkkk"), some_work(catalogue="cccc")
    async with disk.open() as store:
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


async def test_a_sealed_password_goes_with_its_operation(disk: Disk) -> None:
    work = some_work()
    sealed = b"c2VhbGVkIHRvIHRoZSBicmlkZ2U"  # as JSON writes bytes
    async with disk.open() as store:
        await store.keep(work, {})
        assert disk.holds(sealed)
        await store.report(work.operation_id, ENDED)
    assert not disk.holds(sealed)


async def test_completed_exchanges_are_counted(disk: Disk) -> None:
    async with disk.open() as store:
        exchanges = await store.exchanges()
        assert (exchanges.completed, exchanges.last_at) == (0, None)
        await store.completed()
        disk.clock.advance(5)
        await store.completed()
    async with disk.open() as store:
        exchanges = await store.exchanges()
        assert (exchanges.completed, exchanges.last_at) == (2, disk.clock.now)
