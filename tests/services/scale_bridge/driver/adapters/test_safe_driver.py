"""The driver has the examined version, and other copies of its module are not changed; unguarded,
it behaves with the simulator as it did with real scales (§4, §6)."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import scales.scales as published  # type: ignore[import-untyped]
from scales import DeviceError, Scales
from scales.utilities import get_json_from_bytearray  # type: ignore[import-untyped]

from services.scale_bridge.driver.adapters import safe_driver
from services.scale_bridge.driver.adapters.safe_driver import UnsuitableDriver, load_driver
from services.scale_bridge.driver.domain.wire import Step
from services.scale_bridge.driver.simulator.adapters.server import Simulator
from services.scale_bridge.driver.simulator.domain.goods import catalogue
from tests.services.scale_bridge.at_hand import PASSWORD, a_scale

Result = TypeVar("Result")


def test_the_copy_is_the_published_file_and_the_published_module_stays_as_it_is() -> None:
    copy = load_driver()

    assert Path(str(copy.__file__)) == Path(str(published.__file__))
    assert copy.Scales is not published.Scales
    assert published.time is time
    assert published.logging is logging
    assert published.get_json_from_bytearray is get_json_from_bytearray


@pytest.mark.parametrize(
    ("name", "other", "why"),
    [
        ("VERSION", "0.1.2", r"is 0\.1\.3; the guard was made for 0\.1\.2"),
        ("_METHODS", (*safe_driver._METHODS, "_Scales__not_there"), "lacks _Scales__not_there"),
        ("PACKAGE", "scales-of-nobody", "is not installed"),
    ],
    ids=["another version", "without a name that is relied on", "not installed"],
)
def test_another_driver_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, other: Any, why: str
) -> None:
    monkeypatch.setattr(safe_driver, name, other)

    with pytest.raises(UnsuitableDriver, match=why):
        load_driver()


async def drive(scale: Simulator, what: Callable[[Any], Result]) -> Result:
    """Run an exchange with the unguarded driver."""
    return await asyncio.to_thread(
        lambda: what(Scales(scale.host, scale.port, PASSWORD, retries=0))
    )


def fetch(scales: Any) -> Any:
    return scales.get_products_json()


async def test_its_frames_are_the_recorded_ones() -> None:
    async with a_scale(3) as scale:
        await drive(scale, lambda scales: scales.send_json_products({"products": []}, True))
        frames = scale.transcript.frames

    assert [frame.head.hex() for frame in frames if frame.direction == "in"] == [
        "0222ff133132333402f87abc43805c946505e9f1f64d04cd2104000000000000000f0100",
        "021dff13313233340301000000000f007b2270726f6475637473223a5b5d7d",
        "0207ff133132333409",
    ]
    replies = [frame.head.hex() for frame in frames if frame.direction == "out"]
    assert replies == ["0203ff1300", "0203ff1300", "0206ff1300000000"]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        *(("pw", "хэш"), ("busy", "хэш"), ("check2", "с ошибкой"), ("check2msg", "длине")),
        *(("check7A", "длине"), ("rst:13/02", "разорвано|отправить данные")),
    ],
)
async def test_the_unguarded_driver_fails_an_upload_as_measured(fault: str, says: str) -> None:
    async with a_scale(3, fault) as scale:
        with pytest.raises(DeviceError, match=says):
            await drive(scale, lambda scales: scales.send_json_products(catalogue(4), False))


async def test_the_unguarded_driver_accepts_invalid_files() -> None:
    """Defects D3, D4 and D16, the reason for the guard."""

    async def fetched(fault: str) -> Any:
        async with a_scale(3, fault) as scale:
            return await drive(scale, fetch)

    good = catalogue(3)
    faults = ["err15", "hashbusy", "badhash", "rcchunk", "list", "dupkeys"]
    *same, listed, repeated = await asyncio.gather(*map(fetched, faults))

    assert same == [good] * 4
    assert listed == {"items": [good]}
    assert repeated["products"][0]["name"] == good["products"][0]["name"]


@pytest.mark.parametrize("fault", ["ac14", "fin:14", "rst:14"])
async def test_the_unguarded_driver_fails_a_fetch_at_once(fault: str) -> None:
    async with a_scale(3, fault) as scale:
        with pytest.raises(DeviceError):
            await drive(scale, fetch)

        assert list(scale.transcript.steps()) == [Step.CREATE]
