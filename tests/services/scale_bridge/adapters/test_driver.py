"""The guarded driver: what it brings, how it ends in time, and what it never says."""

import asyncio
import logging
import threading
from typing import Any

import pytest
import structlog

from services.scale_bridge.adapters.driver import Driver
from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.adapters.wire import Step
from services.scale_bridge.domain import catalogue as catalogues
from services.scale_bridge.domain.catalogue import Strictness
from services.scale_bridge.domain.fault import (
    BadCatalogue,
    Flaw,
    ScaleRefused,
    WrongPassword,
)
from tests.services.scale_bridge.at_hand import (
    PASSWORD,
    a_scale,
    endpoint,
    plus,
    priced,
    until,
)


@pytest.mark.parametrize("items", [10, 1000, 10_000])
@pytest.mark.parametrize("chunk_bytes", [60_000, 8192])
async def test_it_fetches_and_uploads(driver: Driver, items: int, chunk_bytes: int) -> None:
    """(R2, R5)"""
    async with a_scale(items, creating=2, checking=2, chunk_bytes=chunk_bytes) as simulator:
        where = endpoint(simulator)
        fetched = await driver.fetch(where, PASSWORD)
        uploaded = await driver.upload(where, PASSWORD, catalogue(items + 7), clear=True)

        assert fetched.document == catalogue(items)
        assert fetched.items == items
        assert fetched.md5 == catalogues.digest(fetched.file)
        assert uploaded.items == items + 7
        assert uploaded.size == len(catalogues.written(catalogue(items + 7)))
        assert simulator.base.document == catalogue(items + 7)


async def test_it_asks_in_the_drivers_own_order_and_nothing_twice(driver: Driver) -> None:
    """(R3)"""
    async with a_scale(3) as simulator:
        await driver.fetch(endpoint(simulator), PASSWORD)
        await driver.upload(endpoint(simulator), PASSWORD, catalogue(3), clear=False)

        fetch = [Step.CREATE, Step.CREATED, Step.HASH, Step.HASHED, Step.CHUNK]
        assert list(simulator.transcript.steps()) == [
            *fetch,
            Step.ANNOUNCE,
            Step.SEND,
            Step.CHECK,
        ]


@pytest.mark.parametrize("clear", [True, False])
async def test_what_is_not_sent_goes_only_when_the_scale_is_cleared(
    driver: Driver, clear: bool
) -> None:
    async with a_scale(5) as simulator:
        some = catalogues.only(priced(5, 1.0), {"2", "4"})
        await driver.upload(endpoint(simulator), PASSWORD, some, clear=clear)

        assert plus(simulator.base.products) == ([2, 4] if clear else [1, 2, 3, 4, 5])


async def test_a_deleted_product_is_gone_after_a_merge(driver: Driver) -> None:
    async with a_scale(3) as simulator:
        gone = {"products": [{"id": 2, "code": 51, "deleted": True}]}
        await driver.upload(endpoint(simulator), PASSWORD, gone, clear=False)

        assert plus(simulator.base.products) == [1, 3]


async def test_a_probe_says_what_the_scale_is_without_a_password(driver: Driver) -> None:
    async with a_scale(3, "pw", serial="725-77") as simulator:
        info = await driver.probe(endpoint(simulator))

        assert (info.model, info.serial, info.protocol) == ("M-ER 725 PM-15.2", "725-77", "0.16")
        assert list(simulator.transcript.steps()) == [Step.INFO]


async def test_a_scale_that_does_not_know_the_probe_has_answered_all_the_same(
    driver: Driver,
) -> None:
    """(R6)"""
    async with a_scale(3, "rc:17:78") as simulator:
        with pytest.raises(ScaleRefused) as caught:
            await driver.probe(endpoint(simulator))

    assert caught.value.result == 0x78


async def test_progress_is_told_on_the_event_loop(driver: Driver) -> None:
    told: list[tuple[int, int | None, bool]] = []

    def progress(done: int, total: int | None) -> None:
        told.append((done, total, threading.current_thread() is threading.main_thread()))

    async with a_scale(600, chunk_bytes=50_000) as simulator:
        where = endpoint(simulator)
        fetched = await driver.fetch(where, PASSWORD, progress=progress)
        size = len(fetched.file)
        await until(lambda: len(told) == -(-size // 50_000))
        fetching, told = told, []
        assert fetching[-1] == (size, None, True)
        uploaded = await driver.upload(
            where, PASSWORD, catalogue(600), clear=True, progress=progress
        )
        await until(lambda: len(told) == -(-uploaded.size // 60_000))

    assert told[0] == (60_000, uploaded.size, True)
    assert told[-1] == (uploaded.size, uploaded.size, True)


async def test_what_is_no_catalogue_is_not_sent(driver: Driver) -> None:
    """(R5, R11)"""
    async with a_scale(3) as simulator:
        documents: list[tuple[dict[str, Any], Flaw]] = [
            ({"items": []}, Flaw.NO_PRODUCTS),
            ({"products": [{"price": float("nan")}]}, Flaw.NOT_FINITE),
            ({"products": [{"pluNumber": 1}, {"pluNumber": "1"}]}, Flaw.DUPLICATE_PLU),
        ]
        for document, flaw in documents:
            with pytest.raises(BadCatalogue) as caught:
                await driver.upload(endpoint(simulator), PASSWORD, document, clear=True)
            assert caught.value.flaw is flaw

        assert simulator.transcript.connections == 0


@pytest.mark.parametrize("password", ["", "12345", "пять", "123"])
async def test_a_password_that_no_scale_can_have_is_not_sent(driver: Driver, password: str) -> None:
    """(R12)"""
    async with a_scale(3) as simulator:
        with pytest.raises(WrongPassword):
            await driver.fetch(endpoint(simulator), password)

        assert simulator.transcript.connections == 0


@pytest.mark.parametrize(
    ("fault", "relaxed"),
    [
        ("badhash", Strictness(hash=False)),
        ("nan", Strictness(finite_numbers=False)),
        ("dupkeys", Strictness(unique_keys=False)),
    ],
)
async def test_strictness_is_relaxed_only_when_asked(
    driver: Driver, fault: str, relaxed: Strictness
) -> None:
    """(R5)"""
    async with a_scale(3, fault) as simulator:
        with pytest.raises(BadCatalogue):
            await driver.fetch(endpoint(simulator), PASSWORD)

        fetched = await driver.fetch(endpoint(simulator), PASSWORD, strictness=relaxed)
        assert fetched.items == 3


async def test_an_upload_state_lost_with_the_connection_changes_nothing(driver: Driver) -> None:
    async with a_scale(3, state="connection", connections=1) as simulator:
        where = endpoint(simulator)
        await driver.upload(where, PASSWORD, priced(3, 4.0), clear=False)

        assert (await driver.fetch(where, PASSWORD)).document == priced(3, 4.0)


async def test_no_password_and_no_word_of_the_driver_is_logged(
    driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    """(R18)"""
    caplog.set_level(logging.DEBUG)
    secret = "q7Zx"
    async with a_scale(3, "rst:13/02*1", password=secret) as simulator:
        with structlog.testing.capture_logs() as said:
            await driver.fetch(endpoint(simulator), secret)
            with pytest.raises(Exception, match="connection"):
                await driver.upload(endpoint(simulator), secret, catalogue(3), clear=False)
            await driver.upload(endpoint(simulator), secret, catalogue(3), clear=False)

    assert [record for record in caplog.records if record.name == "root"] == []
    assert [entry["event"] for entry in said] == [
        "scale answered",
        "scale failed",
        "scale answered",
    ]
    assert secret not in repr(said)
    assert secret.encode().hex() not in repr(said)


async def test_many_scales_are_served_side_by_side(driver: Driver) -> None:
    """(R20)"""

    async def one(items: int) -> Any:
        async with a_scale(items, "slow:0.02") as simulator:
            return (await driver.fetch(endpoint(simulator), PASSWORD)).items

    assert await asyncio.gather(*map(one, range(1, 21))) == [*range(1, 21)]
