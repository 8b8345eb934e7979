"""The shop's service reads names at the gateway, and goes on while that is away."""

from collections.abc import AsyncIterator

import pytest

from libs.errors import Unavailable
from services.shop.staff import adapters
from services.shop.staff.adapters import Directories, open_directories
from tests.services.shop.gateway import ANNA, ROSES, Gateway


@pytest.fixture
async def directories(gateway: Gateway) -> AsyncIterator[Directories]:
    async with open_directories(gateway.jwks_url) as opened:
        yield opened


async def test_a_directory_is_asked_for_once_in_some_seconds(
    gateway: Gateway, directories: Directories
) -> None:
    first, second = [await directories.find("shop-7") for _ in range(2)]

    assert first is second
    assert gateway.asked == ["shop-7"]
    assert first
    assert [one.name for one in first.florists()] == ["Анна"]
    assert first.by_number(3) == first.by_account("00000000-0000-0000-0000-000000000001")


async def test_a_shop_that_is_not_registered_has_none(directories: Directories) -> None:
    assert await directories.find("shop-8") is None


async def test_a_member_who_has_just_joined_is_known_at_once(
    gateway: Gateway, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "MISSING_SECONDS", 0.0)
    assert await directories.find("shop-8") is None
    await directories.find("shop-7")
    joined = {**ROSES, "staff": [ANNA, {**ANNA, "number": 4}]}
    gateway.answers |= {"shop-7": joined, "shop-8": ROSES}

    shop = await directories.find("shop-7", member=4)

    assert shop
    assert shop.by_number(4)
    assert await directories.find("shop-8")


async def test_names_stay_known_while_the_gateway_is_away(
    gateway: Gateway, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await directories.find("shop-7")
    monkeypatch.setattr(adapters, "FRESH_SECONDS", 0.0)
    gateway.answers["shop-7"] = 503

    assert await directories.find("shop-7") == known


async def test_without_an_answer_decisions_are_refused_and_names_are_empty(
    gateway: Gateway, directories: Directories
) -> None:
    gateway.answers["shop-9"] = 503

    with pytest.raises(Unavailable):
        await directories.find("shop-9")
    assert (await directories.names("shop-9")).staff == ()
