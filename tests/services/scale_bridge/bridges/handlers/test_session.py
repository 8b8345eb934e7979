"""An agent executes operations like the service, for the account that enrolled it. If the
connection breaks, or one side is killed, operations go on and end once."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from contracts.scale_bridge import DeviceId, OperationId, OperationSending
from libs.postgres.pool import acquire
from libs.testing.polling import eventually
from services.scale_bridge.bridges.adapters import wire
from services.scale_bridge.bridges.domain import Message
from services.scale_bridge.bridges.handlers.results import holder_of
from services.scale_bridge.bridges.handlers.runner import Runner
from services.scale_bridge.bridges.stores import bridges
from services.scale_bridge.catalogue.domain.displayed_fields import displayed_fields
from services.scale_bridge.devices.domain.validation_overrides import RULES
from services.scale_bridge.devices.handlers import device
from services.scale_bridge.driver.domain.document import Document
from services.scale_bridge.driver.domain.wire import Step
from services.scale_bridge.driver.simulator.adapters.products import ProductBase
from services.scale_bridge.driver.simulator.domain.goods import catalogue
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.stores.work import WorkQueue
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.remote import (
    BRIDGE,
    OWNER,
    PASSWORD,
    Line,
    Remote,
    is_settled,
    job,
    open_agent,
    open_remote,
)


@pytest.fixture
async def remote(database: str, tmp_path: Path) -> AsyncIterator[Remote]:
    async with open_remote(database, tmp_path / "bridge") as remote:
        yield remote


@pytest.fixture
async def line(remote: Remote) -> AsyncIterator[Line]:
    async with Line(remote.home, remote.port) as line:
        yield line


async def test_an_agent_reads_a_scale_and_sends_it_an_edit(remote: Remote) -> None:
    async with a_scale(40, password=PASSWORD) as scale:
        device_id = await remote.register(scale)
        async with open_agent(remote):
            ended = await remote.done(device_id, "fetch")
            assert (ended.outcome, ended.code, ended.items) == ("done", "", 40)
            copy = await remote.copy(device_id)
            assert (copy.document, copy.dirty) == (scale.base.document, False)
            events = await remote.events(f"operation-{ended.operation_id}")
            names = ["OperationQueued", "OperationSending", "OperationEnded"]
            assert [type(event).__name__ for event in events] == names
            assert isinstance(events[1], OperationSending)
            assert events[1].holder == holder_of(BRIDGE)

            plu = scale.base.products[7]["pluNumber"]
            await remote.set_price(device_id, plu, 777.5)
            ended = await remote.done(device_id, "upload")

        assert (ended.outcome, ended.code) == ("verified", "")
        assert scale.base.products[7]["price"] == 777.5
        assert not (await remote.copy(device_id)).dirty
        assert [fact["shown"] for fact in await remote.facts(f"shown-{device_id}")][1:] == [
            {str(plu): {**displayed_fields(scale.base.products[7]), "price": 777.5}}
        ]


async def test_the_dates_of_a_scale_that_was_never_read_are_refreshed_in_two_tasks(
    remote: Remote,
) -> None:
    async with a_scale(6, password=PASSWORD) as scale:
        device_id = await remote.register(scale)
        days = [f"{remote.context.clock():%d-%m-%y}"]
        async with open_agent(remote):
            ended = await remote.done(device_id, "refresh")

        days.append(f"{remote.context.clock():%d-%m-%y}")
        assert ended.outcome == "verified"
        [day] = {product["manufactureDate"] for product in scale.base.products}
        assert day in days
        assert not (await remote.copy(device_id)).dirty


async def test_a_catalogue_larger_than_a_message_is_sent_both_ways(remote: Remote) -> None:
    async with a_scale(10_000, password=PASSWORD) as scale:
        async with open_agent(remote):
            device_id = await remote.read(scale)
            await remote.set_price(device_id, scale.base.products[-1]["pluNumber"], 3.25)
            ended = await remote.done(device_id, "upload", full=True)

        assert (ended.outcome, ended.items) == ("verified", 10_000)
        assert scale.base.products[-1]["price"] == 3.25


@pytest.mark.parametrize(
    ("fault", "seconds", "outcome"),
    [("", 60.0, "verified"), ("idle", 8.0, "unknown")],
    ids=["to a scale that answers", "to a dead one"],
)
async def test_an_agent_that_is_killed_ends_its_operation_after_a_restart(
    remote: Remote, fault: str, seconds: float, outcome: str
) -> None:
    """If the scale is dead by then, the outcome is unknown."""
    async with a_scale(20, password=PASSWORD) as scale:
        async with open_agent(remote):
            device_id = await remote.read(scale)
            remote.change_settings(operation_seconds=seconds)
            operation_id = await remote.begin_upload(device_id, scale, "mute:13/09", Step.CHECK)
        assert await remote.ends(operation_id) == []
        scale.faults.set([fault] if fault else [])
        async with open_agent(remote):
            ended = await remote.end(operation_id)

        assert ended.outcome == outcome
        verified = outcome == "verified"
        assert (await remote.copy(device_id)).dirty is not verified
        if verified:
            assert (ended.code, scale.base.products[0]["price"]) == ("", 5.5)


async def test_an_agent_gets_no_tasks_of_other_tenants_and_owners(remote: Remote) -> None:
    async with a_scale(5, password=PASSWORD) as scale:
        remote.owner = uuid4()
        # It was theirs when they named it, and has been let in by another since.
        await bridges.set_owner(remote.context.system, remote.tenant, BRIDGE, remote.owner)
        foreign = await remote.order(await remote.register(scale), "fetch")
        remote.owner = OWNER
        await bridges.set_owner(remote.context.system, remote.tenant, BRIDGE, OWNER)
        device_id = await remote.register(scale)
        other_tenants = job(operation.new_id(), device_id, "birch")
        await WorkQueue.of(remote.context, BRIDGE).put(other_tenants)
        async with open_agent(remote) as runner:
            for _ in range(2):
                await remote.done(device_id, "fetch")
            await eventually(lambda: holds_nothing(runner))

        assert await remote.ends(foreign) == []
        assert scale.transcript.connections == 2


async def holds_nothing(runner: Runner) -> bool:
    return not await runner.store.holding()


def doubled() -> Document:
    """A catalogue with two products of one PLU."""
    document = catalogue(3)
    document["products"][2]["pluNumber"] = 1
    return document


async def relax(remote: Remote, device_id: DeviceId, *rules: str) -> None:
    found = await device.load(remote.context, remote.tenant, device_id)
    await device.relax(remote.context, found, rules, "old firmware", remote.metadata)


@pytest.mark.parametrize(
    ("faults", "base", "rule"),
    [
        (["nan"], catalogue(3), "finite_numbers"),
        (["badhash"], catalogue(3), "hash"),
        ([], doubled(), "unique_plus"),
    ],
    ids=["nan", "badhash", "dupplu"],
)
async def test_relaxed_rules_apply_in_the_service_and_the_agent(
    remote: Remote, faults: list[str], base: Document, rule: str
) -> None:
    """(R5)"""
    scales = a_scale(0, *faults, base=ProductBase(base), password=PASSWORD)
    async with scales as scale:
        device_id = await remote.register(scale)
        async with open_agent(remote):
            strict = await remote.done(device_id, "fetch")
            await relax(remote, device_id, *(name for name in RULES if name != rule))
            others = await remote.done(device_id, "fetch")
            await relax(remote, device_id, rule)
            relaxed = await remote.done(device_id, "fetch")

        assert [(one.outcome, one.code) for one in (strict, others, relaxed)] == [
            ("failed", "BadCatalogue"),
            ("failed", "BadCatalogue"),
            ("done", ""),
        ]
        document = (await remote.copy(device_id)).document
        assert document is not None
        assert len(document["products"]) == 3


async def test_a_password_is_in_no_message_no_log_no_table_and_no_file(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """(R12) The agent's files are its owner's only."""
    messages: list[str] = []
    write = wire.written
    home = remote.home

    def written(message: Message) -> str:
        messages.append(write(message))
        return messages[-1]

    def contents() -> list[bytes]:
        return [file.read_bytes() for file in home.iterdir() if file.is_file()]

    monkeypatch.setattr(wire, "written", written)
    async with a_scale(9, password=PASSWORD) as scale:
        async with open_agent(remote):
            device_id = await remote.read(scale)
            operation_id = await remote.begin_upload(device_id, scale, "late:13/09:0.3", Step.CHECK)
            stored = contents()
            async with acquire(remote.context.system) as connection:
                for table in ("events", "handed", "bridge", "work"):
                    rows = await connection.fetch(f"SELECT * FROM {table}")
                    stored += [str(dict(row)).encode() for row in rows]
            assert (await remote.end(operation_id)).outcome == "verified"
            modes = {file.name: file.stat().st_mode & 0o777 for file in home.iterdir()}
        stored += contents()
        captured = capfd.readouterr()

    assert {"Work", "Reported", "Part"} <= {text.split('"')[5] for text in messages}
    assert not [text for text in messages if PASSWORD in text]
    assert not [each for each in stored if PASSWORD.encode() in each]
    assert "task stored" in captured.out + captured.err
    assert PASSWORD not in captured.out + captured.err
    assert home.stat().st_mode & 0o777 == 0o700
    assert {*modes.values()} == {0o600}, modes


KILLS = 20


async def test_tasks_go_on_after_the_connection_breaks(remote: Remote, line: Line) -> None:
    async with a_scale(20, password=PASSWORD) as scale, open_agent(line) as runner:
        device_id = await remote.read(scale)
        operation_id = await remote.begin_upload(device_id, scale, "slow:0.4", Step.ANNOUNCE)
        line.open = False
        assert line.cut() > 0
        # It is done while it cannot be reported.
        await eventually(lambda: not runner.running)
        assert scale.base.products[0]["price"] == 5.5
        assert await remote.ends(operation_id) == []
        line.open = True
        ended = await remote.end(operation_id)
        await eventually(lambda: is_settled(runner))

        assert (ended.outcome, ended.code) == ("verified", "")
        assert not (await remote.copy(device_id)).dirty
        assert list(scale.transcript.steps()).count(Step.ANNOUNCE) == 1
        assert await remote.ends(operation_id) == [ended]


@pytest.mark.system
async def test_repeated_disconnections_cause_no_second_end(remote: Remote, line: Line) -> None:
    async with a_scale(300, password=PASSWORD) as scale, open_agent(line) as runner:
        device_id = await remote.read(scale)
        cutting = asyncio.create_task(cut_often(line))
        ended = []
        for number in range(6):
            await remote.set_price(device_id, scale.base.products[number]["pluNumber"], 9.0)
            ended.append(await remote.done(device_id, "upload"))
        await cutting
        await eventually(lambda: is_settled(runner))

        assert {one.outcome for one in ended} == {"verified"}
        assert [product["price"] for product in scale.base.products[:6]] == [9.0] * 6
        assert not (await remote.copy(device_id)).dirty
        for one in ended:
            assert await remote.ends(one.operation_id) == [one]


async def cut_often(line: Line) -> None:
    """Cut the connection many times at random moments."""
    chance = random.Random(11)
    for _ in range(25):
        await asyncio.sleep(chance.uniform(0.02, 0.8))
        line.cut()


async def test_a_report_after_the_end_changes_nothing(remote: Remote, line: Line) -> None:
    async with a_scale(20, password=PASSWORD) as scale, open_agent(line) as runner:
        device_id = await remote.read(scale)
        remote.change_settings(operation_seconds=8.0)
        operation_id = await remote.begin_upload(device_id, scale, "slow:0.4", Step.ANNOUNCE)
        line.open = False
        line.cut()
        await eventually(lambda: not runner.running)
        await eventually(lambda: is_swept(remote, operation_id))
        [ended] = await remote.ends(operation_id)
        assert (ended.outcome, ended.code) == ("unknown", "Interrupted")
        # It is not known what the scale holds, and not claimed to be.
        assert (await remote.copy(device_id)).dirty
        line.open = True
        await eventually(lambda: is_settled(runner))
        assert await remote.ends(operation_id) == [ended]
        scale.faults.set([])
        remote.change_settings(operation_seconds=30.0)
        assert (await remote.done(device_id, "upload")).outcome == "verified"
        assert not (await remote.copy(device_id)).dirty


async def is_swept(remote: Remote, operation_id: OperationId) -> bool:
    """Whether the service has expired the operation."""
    await remote.sweep()
    return bool(await remote.ends(operation_id))


async def test_another_process_applies_the_report_after_a_crash(
    database: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack, a_scale(20, password=PASSWORD) as scale:
        async with open_remote(database, tmp_path) as remote:
            line = await stack.enter_async_context(Line(tmp_path, remote.port))
            runner = await stack.enter_async_context(open_agent(line))
            device_id = await remote.read(scale)
            operation_id = await remote.begin_upload(device_id, scale, "slow:0.4", Step.ANNOUNCE)
            line.open = False
            line.cut()
        async with open_remote(database, tmp_path) as another:
            line.connect_to(another.port)
            line.open = True
            ended = await another.end(operation_id)
            await eventually(lambda: is_settled(runner))
            assert (ended.outcome, ended.code) == ("verified", "")
            assert not (await another.copy(device_id)).dirty
            assert await another.ends(operation_id) == [ended]
            await stack.aclose()


@pytest.mark.system
async def test_an_agent_that_is_killed_twenty_times_converges(remote: Remote) -> None:
    """(SCL-12) At random moments, without a person's help."""
    chance = random.Random(7)
    async with a_scale(60, password=PASSWORD) as scale:
        async with open_agent(remote):
            device_id = await remote.read(scale)
        scale.faults.set(["slow:0.01"])
        ordered = []
        for number in range(KILLS):
            plu = scale.base.products[number]["pluNumber"]
            await remote.set_price(device_id, plu, 100.0 + number)
            ordered.append(await remote.order(device_id, "upload"))
            async with open_agent(remote) as runner:
                # Now and then before it has begun, now and then when all is over.
                await eventually(lambda runner=runner: runner.running)  # type: ignore[misc]
                await asyncio.sleep(chance.uniform(0.0, 0.4))
        scale.faults.set([])
        async with open_agent(remote) as last_runner:
            ended = [await remote.end(operation_id) for operation_id in ordered]
            last = await remote.done(device_id, "upload")
            await eventually(lambda: is_settled(last_runner))

        assert last.outcome == "verified"
        prices = [product["price"] for product in scale.base.products[:KILLS]]
        assert prices == [100.0 + number for number in range(KILLS)]
        copy = await remote.copy(device_id)
        assert not copy.dirty
        assert copy.document == scale.base.document
        assert {one.outcome for one in ended} <= {"verified", "done", "unknown", "failed"}
        for one in ended:
            assert await remote.ends(one.operation_id) == [one]
