"""What clients see for every fault a scale may have (§6, R3 to R8, R16), and whatever is done to a
scale in whatever order: what is stored is a catalogue, the flag is true (R1, R24, R26)."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
from httpx import Response

from contracts.scale_bridge import OperationEnded, OperationQueued
from libs.testing.polling import eventually
from services.scale_bridge.catalogue.domain.readback import wrong
from services.scale_bridge.driver.domain import document as documents
from services.scale_bridge.driver.simulator.adapters.products import ProductBase
from services.scale_bridge.driver.simulator.adapters.server import Simulator
from services.scale_bridge.driver.simulator.domain.goods import catalogue as goods
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.service import Device, Service, a_device, open_device, open_working


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
    *(((fault,), VERIFIED) for fault in ("busy*1", "idle*1", "rst:13/03*1", "fin:13/02*1")),
    *(((fault,), VERIFIED) for fault in ("lostack", "rst:13/09*1", "mute:13/09:1", "rstend")),
    *(((fault,), VERIFIED) for fault in ("check7A*1", "check3*1", "lie*1")),
    (("pw",), failed("WrongPassword")),
    (("busy",), failed("ScaleBusy")),
    (("check2",), failed("ImportFailed")),
    (("check2msg:bad barcode",), failed("ImportFailed")),
    (("badproduct:2:no such barcode",), failed("ImportFailed")),
    (("lie",), failed("NotShown")),
    (("rst:13/09", "rst:14"), Expected(503, "UnknownOutcome", "unknown")),
    (("rst:14",), DONE),
    (("off",), failed("Unreachable")),
]

FETCHES: list[tuple[str, Expected]] = [
    *(
        (fault, DONE)
        for fault in ("", "ac14*1", "poll:3", "hashbusy*1", "badhash*1", "rst:12/03*1")
    ),
    *((fault, failed("WrongPassword")) for fault in ("pw", "err15")),
    *((fault, BAD_CATALOGUE) for fault in ("badhash", "shortchunk", "emptychunk", "badjson")),
    *((fault, BAD_CATALOGUE) for fault in ("badutf8", "bom", "scalar", "list", "nan", "dupkeys")),
    *((fault, failed("BadAnswer")) for fault in ("huge", "zero")),
    ("trunc", failed("Disconnected")),
]


async def test_every_fault_ends_an_upload_as_it_should(database: str) -> None:
    settings: dict[str, Any] = {"breaker_failures": 99, "diagnose": True}
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


@pytest.mark.parametrize(
    ("cases", "reply_seconds"),
    [(FETCHES, 5), ([("mute:12/06", failed("Timeout", 504))], 1.5)],
    ids=["answers", "none"],
)
async def test_every_fault_leaves_the_copy_as_it_was(
    database: str, cases: list[tuple[str, Expected]], reply_seconds: float
) -> None:
    settings: dict[str, Any] = {"breaker_failures": 99, "reply_seconds": reply_seconds}
    async with open_working(database, **settings) as service, service.client() as anna:
        for fault, expected in cases:
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


UNSTORABLE: dict[str, Callable[[Any], Any]] = {
    "name": lambda document: document["products"][1].update(name="a\0b"),
    "x": lambda document: document["products"][1].update(x={"a": ["\0"]}),
    "code": lambda document: document["products"][1].update(code="9" * 3000),
    "tare": lambda document: document["products"][1].update(tare="9" * 600_000),
    "messages": lambda document: document.update(messages=[{"id": 1, "value": "\0"}]),
}


async def test_what_no_table_can_hold_is_refused_and_nothing_is_half_done(database: str) -> None:
    """(R5, R16, R24)"""
    async with open_working(database) as service, service.client() as anna:
        for field, spoil in UNSTORABLE.items():
            good, bad = goods(3), goods(3)
            spoil(bad)
            async with a_scale(base=ProductBase(good)) as scale:
                device = await a_device(service, anna, scale)
                await device.set_price(3, 33.0)
                before, events = await device.cached(), len(await service.events())
                scale.base.document = bad
                for answer in (await device.get("/products"), await device.post("/verify")):
                    assert (answer.status_code, answer.json()["code"]) == (502, "BadCatalogue")
                    assert f"поле {field}" in answer.json()["detail"]
                    assert field == "messages" or "PLU 2" in answer.json()["detail"]
                assert await device.cached() == before
                new = [type(event).__name__ for event in (await service.events())[events:]]
                assert set(new) == {"OperationQueued", "OperationSending", "OperationEnded"}
                scale.base.document = goods(3)
                await device.fetch()
            await service.caught_up()


async def test_what_a_scale_says_of_itself_is_stored_as_one_line(database: str) -> None:
    async with (
        a_scale(3, model="M-ER\0 725\n") as scale,
        open_working(database) as service,
        service.client() as anna,
    ):
        device = await a_device(service, anna, scale, read=False)
        probed = await device.post("/probe")

    assert (probed.status_code, probed.json()["outcome"]) == (200, "done")
    assert probed.json()["detail"].startswith("M-ER 725, ")


async def test_a_deleted_product_that_shares_its_plu_stops_no_upload(database: str) -> None:
    document = goods(3)
    twin = {**document["products"][1], "id": 99, "code": 99, "deleted": True, "price": 1.0}
    for products in ([twin, *document["products"]], [*document["products"], twin]):
        base = ProductBase({**document, "products": products})
        async with open_device(database, base=base) as device:
            await device.set_price(2, 99.5)
            await device.upload()
            assert await device.is_dirty() is False
            assert {item["price"] for item in base.products if item["pluNumber"] == 2} >= {99.5}
            assert (await device.ended(await device.order("upload", full=True)))["code"] == ""
            assert (await device.ended(await device.order("refresh")))["outcome"] == "verified"


async def test_a_plu_of_two_products_is_named_when_it_is_not_sent(database: str) -> None:
    document = goods(3)
    document["products"][2]["pluNumber"] = 2
    async with open_device(database, base=ProductBase(document), read=False) as device:
        await device.put("/strictness", relaxed=["unique_plus"], reason="two with one PLU")
        await device.fetch()
        refused = await device.ended(await device.order("upload", full=True))

    assert (refused["outcome"], refused["code"]) == ("failed", "BadCatalogue")
    assert "PLU 2, поле pluNumber" in refused["detail"]


ITEMS = 6
ROUNDS = 10
AT_ONCE = 3
FAULTS: tuple[list[str], ...] = (
    *([], [], [], []),
    *(["lostack"], ["check2*1"], ["lie"], ["badhash*1"], ["rst:13/09*1"], ["rst:12/03*1"]),
    *(["power:13/09:0.05"], ["power:12/07:0.05"], ["nan*1"], ["busy*1"]),
)
STATUSES = {200, 202, 400, 404, 409, 422, 502, 503, 504}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A device, and two scales, of which it is one at a time."""

    device: Device
    scales: tuple[Simulator, Simulator]
    rng: random.Random

    def request(self) -> Coroutine[Any, Any, Response]:
        """Any request about the device."""
        device, rng = self.device, self.rng
        ways: tuple[Callable[[], Coroutine[Any, Any, Response]], ...] = (
            lambda: device.get("/products"),
            lambda: device.get("/products/cached"),
            lambda: device.patch(self._plu(), price=rng.randrange(900)),
            lambda: device.patch(self._plu(), price=rng.randrange(900)),
            lambda: device.patch(self._plu(), pluNumber=self._plu()),
            lambda: device.patch(self._plu(), price="free"),
            lambda: device.post("/upload"),
            lambda: device.post("/upload"),
            lambda: device.post("/verify"),
            lambda: device.put(port=rng.choice(self.scales).port),
            lambda: device.put(description=str(rng.random())),
            lambda: device.post(f"/revisions/{rng.randrange(1, 9)}/revert"),
            lambda: device.post("/operations", kind=self._kind()),
        )
        return rng.choice(ways)()

    def _plu(self) -> int:
        return self.rng.randrange(1, ITEMS + 2)

    def _kind(self) -> str:
        return self.rng.choice(("fetch", "upload", "verify", "probe", "refresh"))

    async def assert_true(self) -> None:
        """The copy is a catalogue, and if it is called clean, the scale shows it."""
        await self.device.service.caught_up()
        stored = await self.device.cached()
        documents.check(stored)
        if stored["products"] and not await self.device.is_listed_dirty():
            port = (await self.device.read())["port"]
            scale = next(one for one in self.scales if one.port == port)
            assert wrong(stored, scale.base.document) == frozenset()


async def is_quiet(service: Service) -> bool:
    """Whether every operation is over, exactly once, and no scale is leased."""
    queued = [event.operation_id for event in await service.events(OperationQueued)]
    ended = [event.operation_id for event in await service.events(OperationEnded)]
    leased = await service.fetch_value("SELECT count(*) FROM lease WHERE until > now()")
    assert len(ended) == len({*ended})
    return sorted(queued) == sorted(ended) and leased == 0


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_of_requests_leaves_a_valid_copy_and_a_true_flag(
    database: str, seed: int
) -> None:
    rng = random.Random(seed)
    async with (
        open_device(database, ITEMS, breaker_seconds=0.1) as device,
        a_scale(ITEMS - 1) as other,
    ):
        scene = Scene(device=device, scales=(device.scale, other), rng=rng)
        for _ in range(ROUNDS):
            for scale in scene.scales:
                scale.faults.set(rng.choice(FAULTS))
            requests = [scene.request() for _ in range(rng.randint(1, AT_ONCE))]
            answers = await asyncio.gather(*requests)
            statuses = {answer.status_code for answer in answers}
            assert statuses <= STATUSES, [answer.text for answer in answers]
            await eventually(lambda: is_quiet(device.service))
            await scene.assert_true()

        for scale in scene.scales:
            scale.faults.set([])
            await scale.power_on()
        await device.fetch()
        await device.upload()
        assert await device.is_listed_dirty() is False
        await scene.assert_true()
