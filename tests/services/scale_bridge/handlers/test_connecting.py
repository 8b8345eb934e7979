"""Who is spoken to, how often, and what is said when nobody thought of it (R14, R15, R16)."""

import pytest

from contracts.scale_bridge import DeviceRegistered, OperationEnded
from services.scale_bridge.adapters.wire import Step
from services.scale_bridge.handlers import catalogue, operation
from services.scale_bridge.handlers.healing import BY_HEALING
from services.scale_bridge.handlers.ordering import Ordered
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    Inside,
    edited,
    eventually,
    fetched,
    patch,
    registered,
    working,
)


async def test_an_address_that_is_allowed_no_more_is_not_connected_to(database: str) -> None:
    """(R14)"""
    async with a_scale(3) as scale:
        async with working(database) as made, made.client() as anna:
            number = await registered(anna, scale)
            await fetched(anna, number)
        before = scale.transcript.connections
        async with working(database, allow_loopback=False) as made, made.client() as anna:
            asked = await anna.get(f"/devices/{number}/products")

    assert (asked.status_code, asked.json()["code"]) == (422, "BadAddress")
    assert scale.host not in asked.text
    assert scale.transcript.connections == before


@pytest.mark.parametrize(("auto", "announced"), [(False, 1), (True, 3)])
async def test_what_nobody_ordered_looks_for_no_culprit(
    database: str, auto: bool, announced: int
) -> None:
    """(R15) Unless it is told to: then two products are sent one by one."""
    async with (
        a_scale(4, "badproduct:3:плохой товар") as scale,
        working(database, diagnose=True, diagnose_auto=auto) as made,
        made.client() as anna,
    ):
        number = await edited(anna, scale)
        await patch(anna, number, 3, price=5)
        ended = await uploaded_by_itself(made)
        steps = [*scale.transcript.steps()]

    assert (ended.outcome, ended.code) == ("failed", "ImportFailed")
    assert "плохой товар" in ended.detail
    assert ("PLU 3" in ended.detail) is auto
    assert steps.count(Step.ANNOUNCE) == announced
    assert {2, 3} <= {product["pluNumber"] for product in scale.base.products}


async def uploaded_by_itself(made: Inside) -> OperationEnded:
    """How an upload ended that nobody ordered."""
    [device] = await made.events(DeviceRegistered)
    ordered = Ordered(
        tenant="demo",
        device_id=device.device_id,
        operation_id=operation.new_id(),
        kind="upload",
        asked_by=BY_HEALING,
    )
    await operation.order(made.deps.desk, ordered)

    async def over() -> bool:
        return ordered.operation_id in [one.operation_id for one in await made.ends()]

    await eventually(over)
    return next(one for one in await made.ends() if one.operation_id == ordered.operation_id)


async def test_what_nobody_thought_of_is_json_as_well(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(R16)"""

    async def fail(*_: object) -> None:
        raise RuntimeError("postgresql://somebody:secret@10.0.0.1")

    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        monkeypatch.setattr(catalogue, "load", fail)
        answer = await anna.get(f"/devices/{number}/products/cached")

    assert answer.status_code == 500
    assert isinstance(answer.json()["detail"], str)
    assert "secret" not in answer.text
    assert "10.0.0.1" not in answer.text
