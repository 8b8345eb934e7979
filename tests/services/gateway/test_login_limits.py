"""Guessing of passwords and names is limited, and other clients are not affected."""

import asyncio
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient, Response

from libs.security.passwords import Passwords
from libs.testing.callers import client_of
from services.gateway import bootstrap
from services.gateway.accounts.domain.realm import KIOSK_ITSELF, Realm, Role, Workspace
from tests.services.gateway.code_context import some_address
from tests.services.gateway.device import PAGE, answered, request_codes
from tests.services.gateway.harness import (
    CHIEF,
    PASSWORD,
    Harness,
    crm_user,
    harness_on,
    kiosk_error,
    kiosk_user,
    limit_of,
    some_email,
)
from tests.services.gateway.identities import CHEAP

REGISTER, SETUP = "/auth/register", "/api/v1/setup/superadmin"
SCALES, CRM, STAFF, KIOSK = (
    *("/auth/login", "/api/v1/auth/token"),
    *("/api/v1/auth/login", "/api/v1/kiosk/login"),
)
PLATFORM = "/api/v1/platform/login"
IN_FORM = (SCALES, CRM)
LATER = "Too many requests; try again later"
"""As the clients of all logins know it."""


async def tried(client: AsyncClient, path: str, name: str, password: str = "wrong") -> Response:
    if path == PAGE:
        # Each with a code of its own: the right password uses it up.
        app = client._transport.app  # type: ignore[attr-defined]
        at = some_address()
        async with client_of(app, base_url="http://gateway", address=at) as device:
            code = (await request_codes(device)).user_code
        return await answered(client, code, name, password=password)
    body = {"email" if path == PLATFORM else "username": name, "password": password}
    sent: dict[str, Any] = {"data": body} if path in IN_FORM else {"json": body}
    return await client.post(path, **sent)


async def registered(client: AsyncClient, email: str) -> int:
    body = {"email": email, "password": PASSWORD}
    return (await client.post(REGISTER, json=body)).status_code


def spellings(name: str) -> list[str]:
    """How else the name of a person may be written, at an address or without one."""
    local, at, domain = name.partition("@")
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in domain)
    ascii_ = domain.encode("idna").decode()
    domains = [domain, domain.upper(), unicodedata.normalize("NFD", domain), wide, ascii_]
    locals_ = [local, local.upper(), unicodedata.normalize("NFD", local)]
    return [
        f"{space}{one}{at}{other}{space}"
        for space in ("", " ")
        for other in (domains if at else [""])
        for one in locals_
    ]


@pytest.fixture
async def harness(url: str) -> AsyncIterator[Harness]:
    """With the usual limits, but for a day: no machine is so slow that a window moves on."""
    a_day = {
        "rate_limit_login": "10/day",
        "rate_limit_failed_login": "30/day",
        "rate_limit_registration": "20/day",
    }
    async with harness_on(url, **a_day) as opened:
        yield opened


@pytest.mark.parametrize("path", [SCALES, CRM, STAFF, KIOSK, PLATFORM, PAGE])
async def test_an_account_is_tried_so_often_however_its_name_is_spelled(
    harness: Harness, path: str
) -> None:
    if path == SCALES:
        name = f"ánna.{uuid4().hex[:8]}@bücher.example"
        assert await registered(harness.client, name) == 201
    elif path in (PLATFORM, PAGE):
        name = f"ánna.{uuid4().hex[:8]}@bücher.example"
        kiosks = Workspace(Realm.KIOSK, harness.deps.settings.people_tenant)
        await harness.create_account(
            CHIEF if path == PLATFORM else Role(kiosks, "admin"), email=name
        )
    elif path == CRM:
        name = f"ánna.{uuid4().hex[:8]}@bücher.example"
        boss = await harness.member(Realm.CRM, "ADMIN")
        body = crm_user(email=name)
        assert (await boss.post("/api/v1/users", json=body)).status_code == 201
    else:
        boss = await harness.member(Realm.KIOSK, "superadmin")
        name = f"Ólga-{uuid4().hex[:8]}"
        made = "/api/v1/kiosk/create" if path == KIOSK else "/api/v1/users/create-admin"
        answer = await boss.post(made, json=kiosk_user(username=name))
        assert answer.status_code in (200, 201), answer.text
    ways = spellings(name)

    async with harness.another_client() as stranger:
        guesses = [await tried(stranger, path, ways[n % len(ways)]) for n in range(10)]
        right = [await tried(stranger, path, way, PASSWORD) for way in ways]
    async with harness.another_client() as owner:
        elsewhere = [await tried(owner, path, way, PASSWORD) for way in ways[:5]]

    assert {one.status_code for one in guesses} == {422 if path == PAGE else 401}
    assert {limit_of(one) for one in right} == {"login"}
    assert {one.status_code for one in elsewhere} == {200}
    assert path == PAGE or right[0].json()["detail"] == LATER


async def test_an_account_with_several_names_is_tried_so_often_by_all_of_them(
    harness: Harness,
) -> None:
    who = (await harness.account(Realm.CRM, "ENGINEER")).person
    email, username = str(who.email), str(who.username)

    for _ in range(5):
        assert (await tried(harness.client, CRM, email)).status_code == 401
        assert (await tried(harness.client, KIOSK, username)).status_code == 401

    assert (await tried(harness.client, CRM, email, PASSWORD)).status_code == 429


@pytest.mark.parametrize("path", [SCALES, CRM, STAFF, KIOSK])
async def test_a_network_that_tries_many_names_slows_only_itself(
    harness: Harness, path: str
) -> None:
    realm, role = {
        SCALES: (Realm.SCALES, "user"),
        CRM: (Realm.CRM, "ENGINEER"),
        STAFF: (Realm.KIOSK, "staff"),
        KIOSK: (Realm.KIOSK, KIOSK_ITSELF),
    }[path]
    known, new = [(await harness.account(realm, role)).person for _ in range(2)]
    names = [str(one.email if path in IN_FORM else one.username) for one in (known, new)]

    async with harness.another_client() as shop, harness.another_client() as elsewhere:
        assert (await tried(shop, path, names[0], PASSWORD)).status_code == 200
        guesses = [await tried(shop, path, f"nobody-{n}@x.example") for n in range(60)]
        there = [await tried(shop, path, name, PASSWORD) for name in names]
        here = await tried(elsewhere, path, names[1], PASSWORD)

    assert [one.status_code for one in guesses] == [401] * 30 + [429] * 30
    assert there[0].status_code == 200
    assert limit_of(there[1]) == "failed-login"
    assert here.status_code == 200


async def test_the_addresses_of_one_ipv6_customer_are_one_network(harness: Harness) -> None:
    answers = []
    for n in range(40):
        async with client_of(harness.app, address=f"2001:db8:1:2::{n:x}") as client:
            answers.append((await tried(client, SCALES, some_email())).status_code)

    assert answers == [401] * 30 + [429] * 10


async def test_registering_is_limited_apart_from_logging_in(harness: Harness) -> None:
    email = some_email()
    assert await registered(harness.client, email) == 201

    bodies = [{"email": some_email(), "password": PASSWORD} for _ in range(59)]
    more = [await harness.client.post(REGISTER, json=body) for body in bodies]

    assert [one.status_code for one in more] == [201] * 19 + [429] * 40
    assert (limit_of(more[-1]), more[-1].json()["detail"]) == ("registration", LATER)
    assert (await tried(harness.client, SCALES, email, PASSWORD)).status_code == 200
    async with harness.another_client() as elsewhere:
        assert await registered(elsewhere, some_email()) == 201


async def test_many_unknown_networks_do_not_block_known_ones(harness: Harness) -> None:
    passwords = Passwords(cost=CHEAP, parallel=1, waiting=20, per_source=10)
    deps = replace(harness.deps, identity=replace(harness.deps.identity, passwords=passwords))
    app = bootstrap.create_app(deps)
    emails = [str((await harness.account(Realm.SCALES, "user")).person.email) for _ in range(8)]

    async with harness.another_client() as shop:
        for email in emails:
            assert (await tried(shop, SCALES, email, PASSWORD)).status_code == 200
        shop._transport.app = app  # type: ignore[attr-defined]
        async with client_of(app, address="10.99.0.1") as one:
            crowd = [asyncio.create_task(tried(one, SCALES, some_email())) for _ in range(300)]
            honest = await asyncio.gather(*(tried(shop, SCALES, e, PASSWORD) for e in emails))
            strangers = await asyncio.gather(*crowd)
    passwords.close()

    assert {answer.status_code for answer in honest} == {200}
    assert {answer.status_code for answer in strangers} == {401, 429}
    assert sum(answer.status_code == 401 for answer in strangers) <= 30


async def test_of_concurrent_set_ups_one_succeeds(
    database: str,
) -> None:
    for code in (None, "open sesame"):
        async with harness_on(database, setup_code=code) as harness:
            headers = {"X-Setup-Code": code or ""}
            asked = (
                harness.client.post(SETUP, json=kiosk_user(), headers=headers) for _ in range(20)
            )
            answers = await asyncio.gather(*asked)

        late = [answer for answer in answers if answer.status_code != 200]
        assert [kiosk_error(answer) for answer in late] == [(409, "SETUP_DONE")] * 19


async def test_a_setup_code_is_not_guessed(database: str) -> None:
    async with harness_on(database, setup_code="open sesame") as harness:
        guesses = [
            await harness.client.post(SETUP, json=kiosk_user(), headers={"X-Setup-Code": f"{n}"})
            for n in range(40)
        ]
        right = {"X-Setup-Code": "open sesame"}
        there = await harness.client.post(SETUP, json=kiosk_user(), headers=right)
        async with harness.another_client() as elsewhere:
            here = await elsewhere.post(SETUP, json=kiosk_user(), headers=right)

    assert [guess.status_code for guess in guesses] == [401] * 30 + [429] * 10
    assert (there.status_code, here.status_code) == (429, 200)
