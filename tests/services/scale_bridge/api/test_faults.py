"""What clients see of uploads and fetches for every fault a scale may have (§6, R3 to R8, R16)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.scale_bridge.adapters.simulator.server import Simulator
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    dirty,
    edited,
    working,
)


@dataclass(frozen=True)
class Expected:
    """What a client reads, how the operation ended, and whether the flag is clean afterwards."""

    status: int
    code: str
    outcome: str
    clean: bool = False


def failed(status: int, code: str, **different: Any) -> Expected:
    return Expected(status, code, "failed", **different)


VERIFIED = Expected(200, "", "verified", clean=True)

UPLOADS = [
    ((), VERIFIED),
    (("pw",), failed(503, "WrongPassword")),
    (("busy*1",), VERIFIED),
    (("busy",), failed(503, "ScaleBusy")),
    (("idle*1",), VERIFIED),
    (("rst:13/03*1",), VERIFIED),
    (("fin:13/02*1",), VERIFIED),
    (("lostack",), VERIFIED),
    (("rst:13/09*1",), VERIFIED),
    (("mute:13/09:1",), VERIFIED),
    (("rstend",), VERIFIED),
    (("check2",), failed(503, "ImportFailed")),
    (("check2msg:bad barcode",), failed(503, "ImportFailed")),
    (("check7A*1",), VERIFIED),
    (("check3*1",), VERIFIED),
    (("lie*1",), VERIFIED),
    (("lie",), failed(503, "NotShown")),
    (("rst:13/09", "rst:14"), Expected(503, "UnknownOutcome", "unknown")),
    (("rst:14",), Expected(200, "", "done", clean=True)),
    (("badproduct:2:no such barcode",), failed(503, "ImportFailed")),
    (("off",), failed(503, "Unreachable")),
]


async def test_every_fault_ends_an_upload_as_it_should(database: str) -> None:
    """(R3, R4, R5, R8, R16)"""
    async with working(database, breaker_failures=99, diagnose=True) as made, made.client() as anna:
        for faults, expected in UPLOADS:
            async with a_scale(4) as scale:
                number = await edited(anna, scale)
                await switch(scale, faults)
                answer = await anna.post(f"/devices/{number}/upload")

                told = f"{faults}: {answer.status_code} {answer.text}"
                assert answer.status_code == expected.status, told
                assert answer.json().get("code", "") == expected.code, told
                assert (await made.ends())[-1].outcome == expected.outcome, told
                assert await dirty(anna, number) is not expected.clean, told
                if expected.clean:
                    assert scale.base.products[1]["price"] == 99.5, told


async def switch(scale: Simulator, faults: Sequence[str]) -> None:
    """Let these be wrong with it."""
    scale.faults.set(faults)
    if "off" in faults:
        await scale.power_cut()


FETCHES = [
    ((), Expected(200, "", "done")),
    (("pw",), failed(503, "WrongPassword")),
    (("err15",), failed(503, "WrongPassword")),
    (("ac14*1",), Expected(200, "", "done")),
    (("poll:3",), Expected(200, "", "done")),
    (("hashbusy*1",), Expected(200, "", "done")),
    (("badhash",), failed(502, "BadCatalogue")),
    (("badhash*1",), Expected(200, "", "done")),
    (("shortchunk",), failed(502, "BadCatalogue")),
    (("emptychunk",), failed(502, "BadCatalogue")),
    (("badjson",), failed(502, "BadCatalogue")),
    (("badutf8",), failed(502, "BadCatalogue")),
    (("bom",), failed(502, "BadCatalogue")),
    (("scalar",), failed(502, "BadCatalogue")),
    (("list",), failed(502, "BadCatalogue")),
    (("nan",), failed(502, "BadCatalogue")),
    (("dupkeys",), failed(502, "BadCatalogue")),
    (("trunc",), failed(503, "Disconnected")),
    (("huge",), failed(503, "BadAnswer")),
    (("zero",), failed(503, "BadAnswer")),
    (("mute:12/06",), failed(504, "Timeout")),
    (("rst:12/03*1",), Expected(200, "", "done")),
]


async def test_every_fault_leaves_the_copy_as_it_was(database: str) -> None:
    """(R5, R7, R16)"""
    async with (
        working(database, breaker_failures=99, reply_seconds=0.4) as made,
        made.client() as anna,
    ):
        for faults, expected in FETCHES:
            async with a_scale(4) as scale:
                number = await edited(anna, scale)
                before = (await anna.get(f"/devices/{number}/products/cached")).json()
                scale.faults.set(faults)
                answer = await anna.get(f"/devices/{number}/products")

                told = f"{faults}: {answer.status_code} {answer.text[:200]}"
                assert answer.status_code == expected.status, told
                assert (await made.ends())[-1].outcome == expected.outcome, told
                if expected.status == 200:
                    assert await dirty(anna, number) is False, told
                    continue
                assert answer.json()["code"] == expected.code, told
                assert isinstance(answer.json()["detail"], str), told
                cached = (await anna.get(f"/devices/{number}/products/cached")).json()
                assert cached == before, told
                assert await dirty(anna, number) is True, told
