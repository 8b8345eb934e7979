"""Attacks on the shop's logins, each of which fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from httpx import Response

from libs.postgres.pool import acquired
from services.gateway.domain.one_time_code import TRIES
from tests.services.gateway.adapters.bot_api import open_bot_api
from tests.services.gateway.api.shop_door import AUTH, Door, Someone, client_of, opened
from tests.services.gateway.code_desk import some_phone

MINI_APP = ("telegram-login", "florist-login")


@pytest.fixture
async def door(url: str) -> AsyncIterator[Door]:
    async with open_bot_api() as api, opened(url, api) as made:
        yield made


async def test_a_code_cannot_be_guessed_from_many_addresses_at_once(door: Door) -> None:
    anna = Someone()
    await door.link(anna)
    right = await door.code(anna)
    guesses = [f"{(int(right) + n) % 1_000_000:06}" for n in range(1, 41)]

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(door.deps)) for _ in guesses]
        answers = await asyncio.gather(
            *(
                client.post(f"{AUTH}/verify-otp", json={"phone": anna.phone, "otp_code": guess})
                for client, guess in zip(clients, guesses, strict=True)
            )
        )
    late = await door.show(anna, right)

    assert {answer.status_code for answer in answers} == {400}
    tried = [answer for answer in answers if "Invalid OTP" in answer.json()["detail"]]
    assert len(tried) == TRIES.most
    assert late.status_code == 400


async def test_a_code_works_once(door: Door) -> None:
    anna = Someone()
    await door.link(anna)
    code = await door.code(anna)

    first, second = await door.show(anna, code), await door.show(anna, code)

    assert (first.status_code, second.status_code) == (200, 400)
    assert "expired" in second.json()["detail"]


async def test_asking_for_another_code_gives_no_tries_back(door: Door) -> None:
    anna = Someone()
    await door.link(anna)
    await door.code(anna)
    for _ in range(TRIES.most):
        await door.show(anna, "000000")

    answers = [
        await door.post("request-otp", {"phone": anna.phone}),
        await door.show(anna, "000000"),
    ]

    assert [answer.status_code for answer in answers] == [429, 400]


async def test_one_address_cannot_try_many_phones(door: Door) -> None:
    answers = [
        await door.post("verify-otp", {"phone": some_phone(), "otp_code": "123456"})
        for _ in range(8)
    ]

    assert {answer.status_code for answer in answers} == {400}
    assert "Too many attempts" in answers[-1].json()["detail"]


async def test_an_attack_on_somebody_fills_no_log(door: Door) -> None:
    anna = Someone()
    await door.register(anna)
    before = len(await door.refusals())

    for _ in range(12):
        await door.show(anna, "000000")

    # One a minute, and a minute may have begun meanwhile.
    assert 1 <= len(await door.refusals()) - before <= 2


async def test_a_wrong_code_does_not_say_who_is_known(door: Door) -> None:
    anna, nobody = Someone(), Someone()
    await door.register(anna)
    await door.link(nobody)
    await door.code(anna)
    await door.code(nobody)

    seen = await door.show(anna, "000000"), await door.show(nobody, "000000")
    unasked = await door.show(Someone(), "000000")

    assert shape(seen[0]) == shape(seen[1])
    assert unasked.status_code == 400


@pytest.mark.parametrize("path", MINI_APP)
async def test_the_app_does_not_say_whose_phone_works_where(door: Door, path: str) -> None:
    anna, thief = Someone(), Someone()
    await door.register(anna)
    await door.link(thief)

    answers = [
        await door.post(path, {"initData": thief.init_data(), "phoneNumber": phone})
        for phone in (anna.phone, some_phone())
    ]

    assert shape(answers[0]) == shape(answers[1])
    assert answers[0].status_code == 401


async def test_another_telegram_account_cannot_take_a_shop_by_naming_its_phone(door: Door) -> None:
    anna, thief = Someone(), Someone()
    await door.register(anna)

    stolen = [
        await door.post(path, {"initData": thief.init_data(), "phoneNumber": anna.phone})
        for path in MINI_APP
    ]
    body = {"initData": thief.init_data(), "phone": some_phone(), "shop_name": "Моё"}
    registered = await door.post("telegram-register", {**body, "telegram_id": anna.telegram_id})

    assert {answer.status_code for answer in (*stolen, registered)} == {401}


async def test_init_data_that_was_changed_is_not_believed(door: Door) -> None:
    anna, thief = Someone(), Someone()
    await door.register(anna)
    own = thief.init_data()

    changed = own.replace(str(thief.telegram_id), str(anna.telegram_id))
    answer = await door.post("telegram-login", {"initData": changed})

    assert changed != own
    assert answer.status_code == 401


async def test_neither_phone_nor_code_nor_token_stands_in_the_log(door: Door) -> None:
    anna = Someone()
    await door.link(anna)
    code = await door.code(anna)
    pending = (await door.show(anna, code)).json()["access_token"]
    anna.headers = {"Authorization": f"Bearer {pending}"}
    made = await door.post("complete-registration", {"name": "Розы"}, headers=anna.headers)
    await door.show(anna, code)

    async with acquired(door.deps.pool) as connection:
        rows = await connection.fetch("SELECT data::text || metadata::text AS said FROM events")
    log = " ".join(row["said"] for row in rows)
    for secret in (anna.phone[1:], pending, made.json()["access_token"]):
        assert secret not in log
    assert f'"{code}"' not in log


async def test_what_must_not_exist_does_not(door: Door) -> None:
    asked = [
        await door.client.get(f"{AUTH}/redis-test"),
        await door.post("debug/register-telegram", {"phone": some_phone(), "telegram_id": 1}),
        await door.client.get("/debug/env"),
    ]

    assert {answer.status_code for answer in asked} == {404}


def shape(answer: Response) -> tuple[int, str, list[str]]:
    return answer.status_code, answer.text, sorted(answer.headers)
