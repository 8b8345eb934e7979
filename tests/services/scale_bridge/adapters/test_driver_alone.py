"""The published driver, unguarded, finds in the simulator what it found in scales (§4, §6)."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from scales import DeviceError, Scales  # type: ignore[import-untyped]

from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.adapters.simulator.server import Simulator
from services.scale_bridge.adapters.wire import Step
from tests.services.scale_bridge.at_hand import PASSWORD, a_scale

Result = TypeVar("Result")


async def drive(simulator: Simulator, what: Callable[[Any], Result]) -> Result:
    """Connect, do it, hang up, as the driver does it by itself."""
    return await asyncio.to_thread(
        lambda: what(Scales(simulator.host, simulator.port, PASSWORD, retries=0))
    )


def got(scales: Any) -> Any:
    return scales.get_products_json()


@pytest.mark.parametrize(
    "items",
    [10, 1000, pytest.param(10_000, marks=pytest.mark.slow)],
)
async def test_the_driver_alone_fetches_and_uploads(items: int) -> None:
    async with a_scale(items) as simulator:
        fetched = await drive(simulator, got)
        await drive(simulator, lambda scales: scales.send_json_products(catalogue(items + 7), True))

        assert fetched == catalogue(items)
        assert simulator.base.document == catalogue(items + 7)
        assert simulator.scale.size_orders == ["big"]


async def test_its_frames_are_the_recorded_ones() -> None:
    async with a_scale(3) as simulator:
        await drive(simulator, lambda scales: scales.send_json_products({"products": []}, True))

        came = [
            frame.head.hex() for frame in simulator.transcript.frames if frame.direction == "in"
        ]
        went = [
            frame.head.hex() for frame in simulator.transcript.frames if frame.direction == "out"
        ]

    assert came == [
        "0222ff133132333402f87abc43805c946505e9f1f64d04cd2104000000000000000f0100",
        "021dff13313233340301000000000f007b2270726f6475637473223a5b5d7d",
        "0207ff133132333409",
    ]
    assert went == ["0203ff1300", "0203ff1300", "0206ff1300000000"]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("pw", "хэш"),
        ("busy", "хэш"),
        ("check2", "с ошибкой"),
        ("check2msg", "длине"),
        ("check7A", "длине"),
        ("rst:13/02", "разорвано|отправить данные"),
    ],
)
async def test_the_driver_alone_fails_an_upload_as_it_was_measured(fault: str, says: str) -> None:
    async with a_scale(3, fault) as simulator:
        with pytest.raises(DeviceError, match=says):
            await drive(simulator, lambda scales: scales.send_json_products(catalogue(4), False))


async def test_the_driver_alone_accepts_what_it_should_not() -> None:
    """Defects D3, D4, D16: which is why it is guarded."""

    async def fetched(fault: str) -> Any:
        async with a_scale(3, fault) as simulator:
            return await drive(simulator, got)

    faults = ["err15", "hashbusy", "badhash", "rcchunk", "list", "dupkeys"]
    found = dict(zip(faults, await asyncio.gather(*map(fetched, faults)), strict=True))

    for fault in ("err15", "hashbusy", "badhash", "rcchunk"):
        assert found[fault] == catalogue(3)
    assert found["list"] == {"items": [catalogue(3)]}
    assert found["dupkeys"]["products"][0]["name"] == catalogue(3)["products"][0]["name"]


@pytest.mark.parametrize("fault", ["ac14", "fin:14", "rst:14"])
async def test_the_driver_alone_fails_a_fetch_at_once(fault: str) -> None:
    async with a_scale(3, fault) as simulator:
        with pytest.raises(DeviceError):
            await drive(simulator, got)

        assert list(simulator.transcript.steps()) == [Step.CREATE]
