"""The worker: one operation at a time per scale, each with a deadline, few on dead scales."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import structlog
from structlog.contextvars import merge_contextvars

from contracts.scale_bridge import (
    DeviceId,
    DeviceRegistered,
    OperationEnded,
    OperationId,
    OperationQueued,
    OperationSending,
)
from libs.http import hub
from libs.jobs import worker
from libs.testing.polling import eventually
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.driver.domain.document import digest, serialize
from services.scale_bridge.driver.domain.wire import Step
from services.scale_bridge.operations.domain import BY_RECOVERY
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.operation import OperationRequest
from services.scale_bridge.operations.stores.work import Job, WorkQueue
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.service import (
    ANNA,
    BORIS,
    Service,
    a_device,
    open_device,
    open_working,
    register,
    running_worker,
)


async def test_two_writers_of_one_scale_never_overlap(database: str) -> None:
    """(R1, S1) The simulated scale asserts it; two owners have registered it."""
    async with (
        open_device(database, 20) as first,
        running_worker(first.service.settings),
        first.service.client(BORIS) as boris,
    ):
        second = await a_device(first.service, boris, first.scale)
        for device in (first, second):
            await device.set_price(2, 99.5)
        first.scale.faults.set(["slow:0.02"])
        answers = await asyncio.gather(
            *(first.post("/upload") for _ in range(4)),
            *(second.post("/upload") for _ in range(4)),
            *(second.get("/products") for _ in range(2)),
        )

        assert {answer.status_code for answer in answers} <= {200, 409}
        assert 200 in {answer.status_code for answer in answers}
        await first.service.assert_one_end_each()


async def test_an_idle_worker_is_woken_by_events_and_by_due_jobs(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "IDLE_SECONDS", 3600.0)
    monkeypatch.setattr(hub, "DEAF_SECONDS", 3600.0)
    async with open_device(database, 2) as device:
        work, clock = WorkQueue.of(device.service.deps), device.service.deps.clock
        # Queuing and the end of an operation are events.
        assert (await device.get("/products")).status_code == 200
        await eventually(partial(device.service.fetch_value, "SELECT count(*) FROM work"), 0)

        job = Job(
            tenant="demo",
            operation_id=OperationId(uuid4()),
            device_id=DeviceId(uuid4()),
            deadline_at=clock() + timedelta(hours=1),
        )
        await work.put(job, clock() + timedelta(seconds=2))
        # Any event makes it ask when the next is due; at that time nothing rings.
        assert (await device.get("/products")).status_code == 200
        assert 0 < (await work.seconds_until_due(clock() - timedelta(seconds=9)) or 0) <= 11
        claimed = "SELECT claimed_by IS NOT NULL FROM scale_bridge.work"
        await eventually(lambda: device.service.fetch_value(claimed), True)


async def test_a_busy_scale_is_409_with_retry_after(database: str) -> None:
    async with open_device(database, 4, busy_seconds=0.2, reply_seconds=30) as device:
        requests = device.scale.transcript.count
        device.scale.faults.set(["late:14:5"])
        fetching = asyncio.create_task(device.get("/products"))
        await eventually(lambda: device.scale.transcript.count > requests)
        busy = await device.post("/upload")

        assert (busy.status_code, busy.json()["code"]) == (409, "Busy")
        assert isinstance(busy.json()["detail"], str)
        assert int(busy.headers["Retry-After"]) >= 1
        assert (await fetching).status_code == 200
        await device.service.assert_one_end_each()


async def test_an_operation_ends_at_its_deadline(database: str) -> None:
    async with open_device(database, read=False, operation_seconds=5.0) as device:
        device.scale.faults.set(["drip:0.1"])
        answer = await device.get("/products")

        assert (answer.status_code, answer.json()["code"]) == (504, "Timeout")
        await eventually(lambda: device.scale.open_connections, 0)


async def test_while_50_scales_hang_all_others_are_answered(database: str) -> None:
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(open_working(database, reply_seconds=60))
        anna = await stack.enter_async_context(service.client())
        scales = [await stack.enter_async_context(a_scale(1, "mute:14")) for _ in range(50)]
        devices = [await a_device(service, anna, scale, read=False) for scale in scales]
        hanging = [asyncio.create_task(device.get("/products")) for device in devices]
        await eventually(lambda: all(scale.open_connections for scale in scales))

        assert len((await anna.get("/devices")).json()) == 50
        assert await register(anna)
        assert (await devices[0].cached()) == {"products": []}
        assert not [task for task in hanging if task.done()]
        idle = """SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'idle in transaction'"""
        assert await service.fetch_value(idle) == 0
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_dead_scale_is_rarely_connected_to(database: str) -> None:
    settings: dict[str, Any] = {"breaker_failures": 3, "breaker_seconds": 60}
    async with (
        open_device(database, read=False, **settings) as device,
        device.service.client(BORIS) as boris,
    ):
        also = await a_device(device.service, boris, device.scale, read=False)
        device.scale.faults.set(["idle"])
        for _ in range(3):
            assert (await device.get("/products")).json()["code"] == "Disconnected"
        calls = device.scale.transcript.connections
        for each in (device, also):
            answer = await each.get("/products")
            assert (answer.status_code, answer.json()["code"]) == (503, "CircuitOpen")
            assert int(answer.headers["Retry-After"]) >= 1
        assert device.scale.transcript.connections == calls


async def test_one_probe_after_the_cool_down_closes_the_breaker(database: str) -> None:
    settings: dict[str, Any] = {"breaker_failures": 1, "breaker_seconds": 0.5}
    async with open_device(database, read=False, **settings) as device:
        device.scale.faults.set(["idle"])
        await device.get("/products")
        device.scale.faults.set([])

        await eventually(device.fetch)
        await device.fetch()


async def test_a_change_of_address_closes_the_breaker(database: str) -> None:
    async with open_device(database, read=False, breaker_failures=1) as device, a_scale(3) as well:
        device.scale.faults.set(["idle"])
        await device.get("/products")
        device.scale.faults.set([])
        for scale in (well, device.scale):
            await device.put(port=scale.port)
            await device.fetch()


async def test_an_address_that_is_no_longer_permitted_is_not_connected_to(database: str) -> None:
    async with a_scale(3) as scale:
        async with open_working(database) as service, service.client() as anna:
            device = await a_device(service, anna, scale)
        before = scale.transcript.connections
        strict: dict[str, Any] = {"allow_loopback": False}
        async with open_working(database, **strict) as service, service.client() as anna:
            refused = await anna.get(f"{device.path}/products")

    assert (refused.status_code, refused.json()["code"]) == (422, "BadAddress")
    assert scale.host not in refused.text
    assert scale.transcript.connections == before


@pytest.mark.parametrize(("auto", "announced"), [(False, 1), (True, 3)])
async def test_an_automatic_upload_is_not_diagnosed(
    database: str, auto: bool, announced: int
) -> None:
    """(R15) Unless `diagnose_auto` is set: then two products are sent one by one."""
    fault = "badproduct:3:плохой товар"
    async with open_device(database, 4, fault, diagnose=True, diagnose_auto=auto) as device:
        await device.set_price(2, 99.5)
        await device.set_price(3, 5)
        ended = await uploaded_by_itself(device.service)
        steps = [*device.scale.transcript.steps()]
        products = device.scale.base.products

    assert (ended.outcome, ended.code) == ("failed", "ImportFailed")
    assert "плохой товар" in ended.detail
    assert ("PLU 3" in ended.detail) is auto
    assert steps.count(Step.ANNOUNCE) == announced
    assert {2, 3} <= {product["pluNumber"] for product in products}


async def uploaded_by_itself(service: Service) -> OperationEnded:
    """The end of an upload that recovery queued."""
    [device] = await service.events(DeviceRegistered)
    ordered = OperationRequest(
        tenant="demo",
        device_id=device.device_id,
        operation_id=operation.new_id(),
        kind="upload",
        asked_by=BY_RECOVERY,
    )
    await operation.enqueue(service.deps, ordered)
    await eventually(service.all_ended)
    return (await service.ends())[-1]


async def test_an_unexpected_error_is_answered_as_json(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("postgresql://user:secret@10.0.0.1")

    async with open_device(database, read=False) as device:
        monkeypatch.setattr(catalogue, "load", fail)
        answer = await device.get("/products/cached")

    assert answer.status_code == 500
    assert isinstance(answer.json()["detail"], str)
    assert "secret" not in answer.text
    assert "10.0.0.1" not in answer.text


async def test_an_operation_has_its_request_and_its_end(database: str) -> None:
    async with open_device(database, 4) as device:
        await device.set_price(2, 99.5)
        await device.upload()
        cached = await device.cached()
        device.scale.faults.set(["rc:14:C4"])
        assert (await device.get("/products")).status_code == 503
        queued = await device.service.events(OperationQueued)
        began = await device.service.events(OperationSending)
        _, sent, refused = await device.service.ends()
        listed = await device.read("/operations")

    assert [one.kind for one in queued] == ["fetch", "upload", "fetch"]
    assert {one.asked_by for one in queued} == {str(ANNA)}
    assert all(one.holder for one in began)
    assert (sent.kind, sent.outcome, sent.revision, sent.items) == ("upload", "verified", 2, 4)
    assert sent.content == digest(serialize(cached))
    assert queued[1].queued_at <= sent.ended_at
    assert (refused.outcome, refused.code, refused.result) == ("failed", "ScaleRefused", 0xC4)
    assert [one["id"] for one in listed] == [str(one.operation_id) for one in reversed(queued)]
    assert {one["asked_by"] for one in listed} == {str(ANNA)}


async def test_log_lines_of_an_operation_name_it_and_no_password(database: str) -> None:
    secret = "q7Zx"
    async with (
        a_scale(3, "rst:12/03*1", password=secret) as scale,
        open_working(database) as service,
    ):
        with structlog.testing.capture_logs(processors=[merge_contextvars]) as logged:
            async with service.client() as anna:
                await a_device(service, anna, scale, password=secret)
        [ended] = await service.ends()

    lines = [line for line in logged if line["event"].startswith(("scale ", "operation"))]
    events = ["scale failed", "scale answered", "operation ended"]
    assert [line["event"] for line in lines] == events
    assert {line["operation_id"] for line in lines} == {str(ended.operation_id)}
    assert secret not in repr(logged)
