"""The agent's store survives restarts, and keeps reports until they are settled; messages and
catalogues are received as they were sent, and everything else is refused."""

import asyncio
import random
import re
import zlib
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.testing.clock import MonotonicClock
from services.scale_bridge.bridges import domain as bridge_message
from services.scale_bridge.bridges.adapters import wire
from services.scale_bridge.bridges.adapters.wire import Misunderstood, Parts, compressed, parts_of
from services.scale_bridge.bridges.domain import Report, ReportStage, Work
from services.scale_bridge.bridges.stores.agent_store import (
    REMEMBERED_SECONDS,
    AgentStore,
    open_agent_store,
)
from services.scale_bridge.driver.domain.document import LARGEST_BYTES, digest
from tests.services.scale_bridge.usual import Usual

BEGAN = Report(stage=ReportStage.BEGAN, attempt=1)
ENDED = Report(stage=ReportStage.ENDED, attempt=1, outcome="done", content="aaaa")


def some_work(catalogue: str | None = None, known: str | None = None) -> Work:
    made = Usual(password=b"sealed to the bridge, whatever it is", port=1111)
    ids = {"operation_id": uuid4(), "device_id": uuid4()}
    return made(Work, **ids, seconds_left=100.0, catalogue=catalogue, known=known)


class Disk:
    """The file of an agent's store, and its clock."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = MonotonicClock(1_000_000.0)

    def open(self) -> AbstractAsyncContextManager[AgentStore]:
        return open_agent_store(self.home / "operations.sqlite3", self.clock)

    def holds(self, data: bytes) -> bool:
        return any(data in file.read_bytes() for file in self.home.iterdir())


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


async def test_a_task_is_stored_once_and_survives_a_restart(disk: Disk) -> None:
    work = some_work(catalogue="cccc")
    async with disk.open() as store:
        assert await store.save(work, {"cccc": b"packed"})
        assert not await store.save(work, {"cccc": b"packed"})
        assert await store.begin(work.operation_id)
        assert not await store.begin(work.operation_id)
    async with disk.open() as store:
        [task] = await store.tasks()
        assert (task.work, task.begun, task.until) == (work, True, disk.clock.now + 100.0)
        assert await store.content("cccc") == b"packed"
        assert await store.holding() == [work.operation_id]


async def test_a_task_ends_once(disk: Disk) -> None:
    work = some_work()
    async with disk.open() as store:
        await store.save(work, {})
        assert await store.report(work.operation_id, BEGAN)
        ends = await asyncio.gather(
            *(store.report(work.operation_id, ENDED, {"aaaa": b"read"}) for _ in range(5))
        )
        assert sorted(ends) == [False] * 4 + [True]
        assert not await store.report(work.operation_id, BEGAN)
        assert not await store.report(uuid4(), BEGAN)
        assert await store.tasks() == []
        assert [reported.report for _, reported in await store.reports()] == [BEGAN, ENDED]


async def test_a_task_that_has_ended_is_not_stored_again(disk: Disk) -> None:
    work = some_work()
    async with disk.open() as store:
        await store.save(work, {})
        await store.report(work.operation_id, ENDED)
        await store.forget(work.operation_id, 1)
        assert await store.holding() == []
        assert not await store.save(work, {})
        assert await store.tasks() == []
        # So long after that it is not sent any more.
        disk.clock.advance(REMEMBERED_SECONDS + 1)
        await store.forget(uuid4(), 1)
        assert await store.save(work, {})


async def test_reports_are_repeated_until_they_are_settled(disk: Disk) -> None:
    work = some_work()
    async with disk.open() as store:
        await store.save(work, {})
        await store.report(work.operation_id, BEGAN)
    disk.clock.advance(50.0)
    async with disk.open() as store:
        [(position, reported)] = await store.reports()
        assert (reported.number, reported.seconds_ago) == (1, 50.0)
        assert await store.reports(position) == []
        await store.forget(work.operation_id, 1)
        assert await store.reports() == []
        await store.report(work.operation_id, ENDED, {"aaaa": b"read"})
        # Neither the number nor the position is used again, although nothing is left of those.
        [(later, reported)] = await store.reports(position)
        assert (reported.number, later > position) == (2, True)
        assert await store.holding() == [work.operation_id]


async def test_unused_catalogues_are_deleted(disk: Disk) -> None:
    one, other = some_work(catalogue="cccc", known="kkkk"), some_work(catalogue="cccc")
    async with disk.open() as store:
        await store.save(one, {"cccc": b"c", "kkkk": b"k"})
        await store.save(other, {"cccc": b"c"})
        await store.report(one.operation_id, ENDED, {"aaaa": b"a"})
        await store.forget(uuid4(), 1)
        kept = {md5 for md5 in ("aaaa", "cccc", "kkkk") if await store.content(md5)}
        assert kept == {"aaaa", "cccc"}
        await store.forget(one.operation_id, 1)
        await store.report(other.operation_id, ENDED)
        await store.forget(other.operation_id, 1)
        assert [await store.content(md5) for md5 in ("aaaa", "cccc")] == [None, None]


async def test_a_sealed_password_is_deleted_when_its_task_ends(disk: Disk) -> None:
    work = some_work()
    sealed = b"c2VhbGVkIHRvIHRoZSBicmlkZ2U"  # as JSON writes bytes
    async with disk.open() as store:
        await store.save(work, {})
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


@given(st.data(), st.sampled_from([*bridge_message.MESSAGES.values()]))
def test_every_message_is_received_as_it_was_sent(data: st.DataObject, kind: type) -> None:
    # A number that is none has no spelling in JSON.
    numbers = st.floats(-(2.0**31), 2.0**30)
    of_numbers = {
        name: numbers if hint is float else st.none() | numbers
        for name, hint in get_type_hints(kind).items()
        if hint in (float, float | None)
    }
    message = data.draw(st.builds(kind, **of_numbers))
    text = wire.written(message)
    # See what no table can hold.
    assume(r"\u0000" not in text and not re.search(r":-?\d{10}", text))

    assert wire.read(text) == message


@given(st.text())
def test_an_invalid_message_is_refused(text: str) -> None:
    with pytest.raises(Misunderstood):
        wire.read(text)


def sent(size: int) -> tuple[bytes, list[bridge_message.Part]]:
    """A catalogue that compresses badly, and its parts."""
    content = random.Random(1).randbytes(size)
    return content, list(parts_of(digest(content), compressed(content)))


_, THREE = sent(2 * bridge_message.PART_BYTES)


@pytest.mark.parametrize(
    "size", [0, 1, bridge_message.PART_BYTES - 50, 3 * bridge_message.PART_BYTES]
)
def test_a_catalogue_is_assembled_from_its_parts(size: int) -> None:
    content, several = sent(size)
    parts = Parts()

    assert [parts.take(part) for part in several] == [None] * (len(several) - 1) + [content]
    assert max(len(wire.written(part)) for part in several) < 200_000


def test_an_interrupted_catalogue_can_be_sent_again() -> None:
    content, several = sent(2 * bridge_message.PART_BYTES)
    parts = Parts()
    parts.take(several[0])

    assert [parts.take(part) for part in several][-1] == content


def packed(data: bytes) -> bridge_message.Part:
    return bridge_message.Part(md5=digest(b"right"), number=0, of=1, data=data)


@pytest.mark.parametrize(
    "parts",
    [
        *([THREE[1]], [THREE[0], THREE[2]], [packed(b"")], [packed(b"no zlib")]),
        *([packed(compressed(b"another"))], [packed(compressed(b"right")[:-1])]),
    ],
    ids=["no first", "one left out", "nothing", "junk", "another hash", "half"],
)
def test_invalid_parts_are_refused(parts: list[bridge_message.Part]) -> None:
    *taken, bad = parts
    together = Parts()
    for part in taken:
        together.take(part)

    with pytest.raises(Misunderstood):
        together.take(bad)


def test_a_decompression_bomb_is_refused() -> None:
    with pytest.raises(Misunderstood):
        Parts().take(packed(zlib.compress(bytes(LARGEST_BYTES + 1), 9)))


@pytest.mark.parametrize(
    "message",
    [
        bridge_message.Hello(version=1, program="a\0", holding=()),
        bridge_message.Progress(operation_id=UUID(int=1), done=2**63, total=None),
        bridge_message.Heartbeat(working=1, completed=-(2**40), last_completed_seconds_ago=None),
        bridge_message.Heartbeat(working=1, completed=1, last_completed_seconds_ago=1e300),
        *(
            bridge_message.Reported(
                operation_id=UUID(int=1), number=1, seconds_ago=0.0, report=replace(BEGAN, **wrong)
            )
            for wrong in ({"detail": "\0"}, {"items": 2**31}, {"attempt": 10**12})
        ),
    ],
    ids=repr,
)
def test_a_message_that_no_table_can_hold_is_refused(message: bridge_message.Message) -> None:
    with pytest.raises(Misunderstood):
        wire.read(wire.written(message))


def test_the_wire_format_does_not_change() -> None:
    """Agents in shops may be older than the service."""
    operation_id = uuid4()
    work = bridge_message.Work(
        operation_id=operation_id,
        device_id=operation_id,
        kind="fetch",
        full=False,
        address="10.0.0.9",
        port=1111,
        password=b"sealed",
        seconds_left=9.5,
    )
    assert wire.written(work) == (
        f'{{"v":1,"type":"Work","data":{{"operation_id":"{operation_id}","device_id":'
        f'"{operation_id}","kind":"fetch","full":false,"address":"10.0.0.9","port":1111,'
        '"password":"c2VhbGVk","seconds_left":9.5,"catalogue":null,"known":null,'
        '"diagnose":false,"strictness":{"chunks":true,"hash":true,"unique_keys":true,'
        '"finite_numbers":true,"unique_plus":true}}}'
    )
    old = f'{{"v":1,"type":"Reported","data":{{"operation_id":"{operation_id}","number":1,'
    old += '"report":{"stage":"began","attempt":2},"seconds_ago":0.5,"news":"of later versions"}}'
    assert wire.read(old) == bridge_message.Reported(
        operation_id=operation_id,
        number=1,
        report=bridge_message.Report(stage=bridge_message.ReportStage.BEGAN, attempt=2),
        seconds_ago=0.5,
    )
