"""What clients see of uploads and fetches for every fault a scale may have (§6, R3 to R8, R16)."""

from dataclasses import dataclass

from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.service import a_device, open_working


@dataclass(frozen=True)
class Expected:
    """What a client reads, how the operation ended, and whether the flag is clean afterwards."""

    status: int
    code: str
    outcome: str
    clean: bool = False


def failed(code: str, status: int = 503) -> Expected:
    return Expected(status, code, "failed")


VERIFIED = Expected(200, "", "verified", clean=True)
DONE = Expected(200, "", "done", clean=True)
BAD_CATALOGUE = failed("BadCatalogue", 502)

UPLOADS: list[tuple[tuple[str, ...], Expected]] = [
    ((), VERIFIED),
    (("pw",), failed("WrongPassword")),
    (("busy*1",), VERIFIED),
    (("busy",), failed("ScaleBusy")),
    (("idle*1",), VERIFIED),
    (("rst:13/03*1",), VERIFIED),
    (("fin:13/02*1",), VERIFIED),
    (("lostack",), VERIFIED),
    (("rst:13/09*1",), VERIFIED),
    (("mute:13/09:1",), VERIFIED),
    (("rstend",), VERIFIED),
    (("check2",), failed("ImportFailed")),
    (("check2msg:bad barcode",), failed("ImportFailed")),
    (("check7A*1",), VERIFIED),
    (("check3*1",), VERIFIED),
    (("lie*1",), VERIFIED),
    (("lie",), failed("NotShown")),
    (("rst:13/09", "rst:14"), Expected(503, "UnknownOutcome", "unknown")),
    (("rst:14",), DONE),
    (("badproduct:2:no such barcode",), failed("ImportFailed")),
    (("off",), failed("Unreachable")),
]

FETCHES: list[tuple[str, Expected]] = [
    ("", DONE),
    ("pw", failed("WrongPassword")),
    ("err15", failed("WrongPassword")),
    ("ac14*1", DONE),
    ("poll:3", DONE),
    ("hashbusy*1", DONE),
    ("badhash*1", DONE),
    *(
        (fault, BAD_CATALOGUE)
        for fault in ("badhash", "shortchunk", "emptychunk", "badjson", "badutf8", "bom")
    ),
    *((fault, BAD_CATALOGUE) for fault in ("scalar", "list", "nan", "dupkeys")),
    ("trunc", failed("Disconnected")),
    ("huge", failed("BadAnswer")),
    ("zero", failed("BadAnswer")),
    ("mute:12/06", failed("Timeout", 504)),
    ("rst:12/03*1", DONE),
]


async def test_every_fault_ends_an_upload_as_it_should(database: str) -> None:
    """(R3, R4, R5, R8, R16)"""
    settings = {"breaker_failures": 99, "diagnose": True}
    async with open_working(database, **settings) as service, service.client() as anna:
        for faults, expected in UPLOADS:
            async with a_scale(4) as scale:
                device = await a_device(service, anna, scale)
                await device.set_price(2, 99.5)
                scale.faults.set(faults)
                if "off" in faults:
                    await scale.power_cut()
                answer = await device.post("/upload")

                case = f"{faults}: {answer.status_code} {answer.text}"
                assert answer.status_code == expected.status, case
                assert answer.json().get("code", "") == expected.code, case
                assert (await service.ends())[-1].outcome == expected.outcome, case
                assert await device.is_listed_dirty() is not expected.clean, case
                if expected.clean:
                    assert scale.base.products[1]["price"] == 99.5, case


async def test_every_fault_leaves_the_copy_as_it_was(database: str) -> None:
    """(R5, R7, R16)"""
    settings = {"breaker_failures": 99, "reply_seconds": 0.4}
    async with open_working(database, **settings) as service, service.client() as anna:
        for fault, expected in FETCHES:
            async with a_scale(4) as scale:
                device = await a_device(service, anna, scale)
                await device.set_price(2, 99.5)
                before = await device.cached()
                scale.faults.set([fault] if fault else [])
                answer = await device.get("/products")

                case = f"{fault}: {answer.status_code} {answer.text[:200]}"
                assert answer.status_code == expected.status, case
                assert (await service.ends())[-1].outcome == expected.outcome, case
                assert await device.is_listed_dirty() is not expected.clean, case
                if not expected.clean:
                    assert answer.json()["code"] == expected.code, case
                    assert isinstance(answer.json()["detail"], str), case
                    assert await device.cached() == before, case
