"""Asking for a code and showing it, as the shop's login page and attackers do (spec shop §2).

Each attack fails.
"""

import asyncio
import re
import secrets
import time
from contextlib import nullcontext
from dataclasses import replace

import pytest
from httpx import Response
from pydantic import ValidationError
from structlog.testing import capture_logs

from services.gateway.bot.api import SECRET_HEADER
from services.gateway.telegram.adapters import webhook_secret
from services.gateway.telegram.domain.one_time_code import (
    DAILY_OF_STRANGERS,
    FIXED_CODE,
    FIXED_PHONE,
    TRIES,
    Verified,
)
from services.gateway.telegram.handlers.one_time_code import verify_code
from tests.services.gateway.app import gateway_settings
from tests.services.gateway.bot_api import TOKEN
from tests.services.gateway.code_context import BOT_NAME, some_phone
from tests.services.gateway.harness import client_of, gateway_on, limit_of
from tests.services.gateway.shop_door import AUTH, Door, Someone

ASK, VERIFY = f"{AUTH}/request-otp", f"{AUTH}/verify-otp"
PHONE = "+77011234567"


async def test_a_code_comes_by_telegram(door: Door) -> None:
    anna = await door.linked()

    with capture_logs() as lines:
        answer = await door.post("request-otp", {"phone": anna.phone})
    code = door.code_sent_to(anna)

    assert answer.status_code == 201
    assert code not in str(lines)
    assert answer.json()["delivery_method"] == "telegram"
    assert answer.json().keys() == {"message", "delivery_method"}
    assert code not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    outcome = await verify_code(door.deps.code_context, anna.phone, code, address="192.0.2.1")
    assert outcome == Verified()


async def test_an_unknown_phone_gets_instructions_to_register(door: Door) -> None:
    answer = await door.post("request-otp/", {"phone": some_phone()})

    body = answer.json()
    assert answer.status_code == 201
    assert body["delivery_method"] == "need_registration"
    assert body["bot_link"].startswith(f"https://t.me/{BOT_NAME}")
    assert all(isinstance(line, str) for line in body["instructions"])
    assert body["instructions"]
    assert "otp" not in body


async def test_the_demo_shows_the_code(url: str) -> None:
    phone = some_phone()
    async with gateway_on(url, profile="demo") as deps, client_of(deps) as client:
        with capture_logs() as lines:
            answer = await client.post(ASK, json={"phone": phone})
        body = answer.json()
        outcome = await verify_code(deps.code_context, phone, body["otp"], address="192.0.2.2")

    assert (answer.status_code, body["delivery_method"]) == (201, "debug")
    assert outcome == Verified()
    (line,) = [one for one in lines if "code" in one]
    assert (line["code"], "demo" in line["event"]) == (body["otp"], True)
    assert phone not in str(lines)


@pytest.mark.parametrize("profile", ["test", "demo"])
async def test_suites_of_the_shop_log_in_with_one_code_without_limits_in_their_own_profile_only(
    url: str, profile: str
) -> None:
    phone, right = {"phone": FIXED_PHONE}, {"phone": FIXED_PHONE, "otp_code": FIXED_CODE}
    async with gateway_on(url, profile=profile) as deps, client_of(deps) as client:
        asked = [await client.post(ASK, json=phone) for _ in range(12)]
        tried = [await client.post(VERIFY, json=right) for _ in range(12)]
        strange = await client.post(VERIFY, json=right | {"otp_code": "123457"})

    said = {(answer.status_code, answer.json().get("delivery_method")) for answer in asked}
    fixed = profile == "test"
    assert (said == {(201, "test")}) is fixed
    assert (asked[0].json().get("otp") == FIXED_CODE) is fixed
    assert ({answer.status_code for answer in tried} == {200}) is fixed
    assert strange.status_code == 400
    # What the suites of the shop look for.
    assert ("Invalid OTP. Неверный код" in strange.json()["detail"]) is fixed


async def test_the_profile_of_suites_is_named_at_the_start(url: str) -> None:
    for profile in ("test", "demo"):
        with capture_logs() as lines:
            async with gateway_on(url, profile=profile):
                pass
        assert any("no rate limits" in line["event"] for line in lines) is (profile == "test")


def test_the_profile_of_suites_stays_on_this_machine() -> None:
    for host, fits in (("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("till", False)):
        with nullcontext() if fits else pytest.raises(ValidationError, match="loopback"):
            gateway_settings("http://127.0.0.1:1", profile="test", http_host=host)


async def test_without_a_bot_and_a_demo_there_are_no_codes(url: str) -> None:
    async with gateway_on(url, profile="production") as deps, client_of(deps) as client:
        answer = await client.post(ASK, json={"phone": some_phone()})

    assert answer.status_code == 503
    assert isinstance(answer.json()["detail"], str)
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("request-otp", {}),
        ("request-otp", {"phone": None}),
        ("request-otp", {"phone": 77011234567}),
        ("request-otp", {"phone": "77011234567"}),
        ("request-otp", {"phone": "+7701123456"}),
        ("request-otp", {"phone": "+770112345678"}),
        ("request-otp", {"phone": "+7 701 123 45 67"}),
        ("request-otp", {"phone": "+7701123456٧"}),
        ("request-otp", {"phone": "+77011234567\n"}),
        ("request-otp", []),
        ("request-otp", "text"),
        ("verify-otp", {}),
        ("verify-otp", {"phone": PHONE}),
        ("verify-otp", {"phone": PHONE, "otp_code": "12345"}),
        ("verify-otp", {"phone": PHONE, "otp_code": "١٢٣٤٥٦"}),
        ("verify-otp", {"phone": PHONE, "otp_code": 123456}),
        ("verify-otp", {"phone": "8 701 123 45 67", "otp_code": "123456"}),
    ],
)
async def test_a_422_is_a_text_the_page_can_show(door: Door, path: str, sent: object) -> None:
    answer = await door.post(path, sent)

    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)
    assert isinstance(answer.json()["errors"], list)
    assert "770112345" not in answer.text
    assert "123456" not in answer.text


async def test_what_is_no_json_is_a_422_too(door: Door) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (b"", b"{", b"[" * 5000, b"\xff"):
        answer = await door.client.post(ASK, content=body, headers=headers)

        assert answer.status_code in {400, 422}
        assert isinstance(answer.json()["detail"], str)


async def test_too_many_requests_send_nothing_and_have_the_text_that_the_page_searches(
    door: Door,
) -> None:
    anna = await door.linked()
    answers = [await door.post("request-otp", {"phone": anna.phone}) for _ in range(11)]

    assert [answer.status_code for answer in answers] == [201] * 10 + [429]
    assert len(door.api.messages) == 10
    assert "Too many requests" in answers[-1].json()["detail"]
    assert limit_of(answers[-1]) == "one-time-code"
    assert int(answers[-1].headers["Retry-After"]) <= 60


def wrong(code: str) -> str:
    """Another code."""
    return f"{(int(code) + 1) % 1_000_000:06}"


async def try_code(door: Door, who: Someone, code: str) -> Response:
    """Try a code from a new address."""
    async with client_of(door.deps) as client:
        shown = {"phone": who.phone, "otp_code": code}
        return await client.post(f"{AUTH}/verify-otp", json=shown)


async def test_guesses_from_many_addresses_end_the_code_and_not_the_phone(door: Door) -> None:
    anna = await door.linked()
    right = await door.code(anna)

    answers = await asyncio.gather(*(try_code(door, anna, wrong(right)) for _ in range(10)))
    late = await door.show(anna, right)
    another = await door.show(anna, await door.code(anna))

    assert {answer.status_code for answer in (*answers, late)} == {400}
    details = sorted(answer.json()["detail"] for answer in answers)
    assert all("Invalid OTP" in one for one in details[:TRIES])
    assert [one[-1] for one in details[:TRIES]] == list("012")
    assert all("Too many attempts" in one for one in (*details[TRIES:], late.json()["detail"]))
    assert right not in "".join(answer.text for answer in answers)
    assert another.status_code == 200


async def test_guesses_affect_their_own_network_only(door: Door) -> None:
    """Guesses from the shop's address do not block members who logged in from it before."""
    bella, _ = await door.registered()
    strangers = [await door.show(Someone(), "123456") for _ in range(40)]
    await door.log_in(bella)
    async with client_of(door.deps) as client:
        elsewhere = replace(door, client=client)
        await elsewhere.log_in(await door.linked())

    assert {answer.status_code for answer in strangers} == {400}
    too_many = ["Too many attempts" in answer.json()["detail"] for answer in strangers]
    assert too_many == [False] * 30 + [True] * 10


async def guessed_elsewhere(door: Door, who: Someone) -> str:
    """Ask for a code at a new address and guess it until it is dead; what was sent to its owner."""
    async with client_of(door.deps) as client:
        there = replace(door, client=client)
        await there.post("request-otp", {"phone": who.phone})
        sent = str(door.api.last_to(who.telegram_id)["text"])
        for _ in range(TRIES):
            await there.show(who, "000000" if "000000" not in sent else "111111")
    return sent


async def test_after_many_guesses_the_owner_confirms_a_new_network_in_telegram(door: Door) -> None:
    anna = await door.linked()
    await door.log_in(anna)
    sent = [
        await guessed_elsewhere(door, anna) for _ in range(DAILY_OF_STRANGERS.quota // TRIES + 1)
    ]
    assert ["/login_" in text for text in sent] == [False] * (len(sent) - 1) + [True]

    await door.log_in(anna)
    async with client_of(door.deps) as client:
        there = replace(door, client=client)
        asked = await there.post("request-otp", {"phone": anna.phone})
        (login,) = re.findall(r"/login_\w+", door.api.last_to(anna.telegram_id)["text"])
        who = {"id": anna.telegram_id}
        message = {"from": who, "chat": who | {"type": "private"}, "text": login}
        update = {"update_id": secrets.randbelow(2**50), "message": message}
        hook = {SECRET_HEADER: webhook_secret(TOKEN)}
        await door.client.post("/api/telegram/webhook", json=update, headers=hook)
        again = await there.log_in(anna)

    assert (asked.status_code, asked.json()["delivery_method"]) == (201, "telegram")
    assert "Telegram" in asked.json()["message"]
    assert again["access_token"]


async def test_refused_codes_are_recorded_once_a_minute_without_code_or_phone(door: Door) -> None:
    anna, _ = await door.registered()
    account_id, started = await door.account_of(anna), time.monotonic()

    for _ in range(12):
        await door.show(anna, "000000")

    recorded = [one for one in await door.refusals() if one.account_id == account_id]
    # A minute may have begun meanwhile.
    assert 1 <= len(recorded) <= 2 + (time.monotonic() - started) // 60
    assert (recorded[0].realm, recorded[0].reason) == ("shop", "code")
    assert recorded[0].digest == door.deps.identity.seal.digest("phone", anna.phone)


async def test_a_wrong_code_does_not_reveal_whether_the_phone_is_known(door: Door) -> None:
    (anna, _), nobody = await door.registered(), await door.linked()
    for who in (anna, nobody):
        await door.code(who)

    seen = [await door.show(who, "000000") for who in (anna, nobody)]
    unasked = await door.show(Someone(), "000000")

    assert seen[0].text == seen[1].text
    assert sorted(seen[0].headers) == sorted(seen[1].headers)
    assert {answer.status_code for answer in (*seen, unasked)} == {400}
