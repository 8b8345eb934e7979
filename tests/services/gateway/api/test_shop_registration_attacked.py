"""Attacks on registering a shop, each of which fails."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.security import tokens
from libs.security.tokens import KeyRing, SigningKey
from services.gateway.handlers import pending_registration
from services.gateway.handlers.pending_registration import AUDIENCE, TYPE, pending_token
from tests.services.gateway.adapters.bot_api import open_bot_api
from tests.services.gateway.api.shop_door import Door, Someone, opened
from tests.services.gateway.code_desk import some_phone

MINI_APP = ("telegram-login", "florist-login")


@pytest.fixture
async def door(url: str) -> AsyncIterator[Door]:
    async with open_bot_api() as api, opened(url, api) as made:
        yield made


def forged(door: Door, phone: str) -> list[str]:
    """Tokens by which somebody might try to register another's phone."""
    deps, now = door.deps, datetime.now(UTC)
    identity, issuer = deps.identity, deps.settings.issuer
    good = pending_token(identity, deps.signing_keys, phone, issuer=issuer)
    header, claims, signature = good.split(".")
    ours: dict[str, Any] = {
        "subject": identity.seal.seal(phone, pending_registration.CONTEXT),
        "tenant": "platform",
        "scopes": (),
        "kind": TYPE,
        "issuer": issuer,
        "now": now,
        "lifetime": timedelta(minutes=5),
    }
    key, stranger = deps.signing_keys.current, SigningKey.generate()
    plain = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": TYPE}).encode())
    return [
        pending_token(identity, KeyRing(stranger), phone, issuer=issuer),
        tokens.issue(key, **ours, audience=AUDIENCE),
        tokens.issue(key, **ours, audience="tillstream", typ=TYPE),
        tokens.issue(key, **{**ours, "subject": phone}, audience=AUDIENCE, typ=TYPE),
        tokens.issue(key, **{**ours, "now": now - timedelta(hours=2)}, audience=AUDIENCE, typ=TYPE),
        f"{plain.decode().rstrip('=')}.{claims}.",
        f"{header}.{claims}.{signature[:-4]}AAAA",
        good[:-1],
        "",
    ]


async def test_a_pending_token_cannot_be_forged(door: Door) -> None:
    phone = some_phone()

    for token in forged(door, phone):
        headers = {"Authorization": f"Bearer {token}"}
        answer = await door.post("complete-registration", {"name": "Розы"}, headers=headers)
        assert answer.status_code == 401, token
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_one_phone_registered_many_times_at_once_opens_one_shop(door: Door) -> None:
    anna = Someone()
    await door.link(anna)
    await door.log_in(anna)

    answers = await asyncio.gather(
        *(
            door.post("complete-registration", {"name": f"Розы {n}"}, headers=anna.headers)
            for n in range(6)
        )
    )

    assert Counter(answer.status_code for answer in answers) == {201: 1, 400: 5}
    again = await door.log_in(anna)
    (made,) = [answer.json() for answer in answers if answer.status_code == 201]
    assert again["shop_id"] == made["shop_id"]


async def test_a_token_shows_nothing_of_the_phone(door: Door) -> None:
    anna = Someone()
    await door.link(anna)
    pending = (await door.log_in(anna))["access_token"]
    full = (await door.register(anna))["access_token"]

    for token in (pending, full):
        claims = token.split(".")[1]
        shown = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)).decode()
        assert anna.phone[1:] not in shown
