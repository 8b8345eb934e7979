"""Changing one's own password."""

from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient

from contracts.gateway import LoginRefused
from services.gateway.deps import Deps
from services.gateway.domain.person import email
from services.gateway.domain.realm import Place
from services.gateway.domain.session import SessionOver
from services.gateway.handlers import session as sessions
from services.gateway.handlers.login import LoginFailed, log_in
from tests.services.gateway.api.inside import (
    KIOSKS,
    PASSWORD,
    SCALES,
    STAFF,
    WEIGHER,
    catch_up,
    client_of,
    events,
    gateway_on,
    inside,
    some_email,
    somebody,
)

CHANGE = "/api/v1/account/password"
NEW = "battery staple horse"


@pytest.fixture
async def deps(url: str) -> AsyncIterator[Deps]:
    async with gateway_on(url) as opened:
        yield opened


@pytest.fixture
async def client(deps: Deps) -> AsyncIterator[AsyncClient]:
    async with client_of(deps) as opened:
        yield opened


async def enter(deps: Deps, address: str, password: str, place: Place = KIOSKS) -> None:
    await log_in(
        deps.identity,
        realm=place.realm,
        tenant=place.tenant,
        address=email(address),
        password=password,
        device="",
    )


def said(old: str = PASSWORD, new: str = NEW) -> dict[str, str]:
    return {"old_password": old, "new_password": new}


async def test_the_new_password_counts_everywhere_and_all_sessions_end(
    deps: Deps, client: AsyncClient
) -> None:
    address = some_email()
    anna = await somebody(deps, STAFF, WEIGHER, email=address)
    elsewhere, on_scales = await inside(deps, anna.account_id, SCALES)
    await catch_up(deps)
    # So new that no read model knows of it.
    _, headers = await inside(deps, anna.account_id, KIOSKS)

    answer = await client.post(CHANGE, json=said(), headers=headers)

    assert (answer.status_code, answer.content) == (204, b"")
    for caller in (headers, on_scales):
        assert (await client.get("/api/v1/sessions", headers=caller)).status_code == 401
    with pytest.raises(SessionOver):
        await sessions.refresh(deps.identity, elsewhere.refresh_token)
    with pytest.raises(LoginFailed):
        await enter(deps, address, PASSWORD)
    await enter(deps, address, NEW)
    await enter(deps, address, NEW, SCALES)


async def test_a_wrong_password_changes_nothing_and_is_told(
    deps: Deps, client: AsyncClient
) -> None:
    address = some_email()
    anna = await somebody(deps, STAFF, email=address)
    _, headers = await inside(deps, anna.account_id, KIOSKS)

    answer = await client.post(CHANGE, json=said(old="wrong horse"), headers=headers)

    assert answer.status_code == 403
    assert answer.json() == {"detail": "That is not the present password."}
    assert (await client.get("/api/v1/sessions", headers=headers)).status_code == 200
    await enter(deps, address, PASSWORD)
    told = [one for one in await events(deps, LoginRefused) if one.account_id == anna.account_id]
    assert [(one.realm, one.reason) for one in told] == [("kiosk", "old password")]


@pytest.mark.parametrize(
    "body",
    [
        said(new="pw-1234"),
        said(new="x" * 129),
        {"new_password": NEW},
        said() | {"account_id": "somebody else"},
    ],
)
async def test_what_is_no_change_is_refused_without_a_word_of_it(
    deps: Deps, client: AsyncClient, body: dict[str, str]
) -> None:
    anna = await somebody(deps, STAFF)
    _, headers = await inside(deps, anna.account_id, KIOSKS)

    answer = await client.post(CHANGE, json=body, headers=headers)

    assert answer.status_code == 422
    assert PASSWORD not in answer.text
    assert body["new_password"] not in answer.text


async def test_whoever_has_somebodys_token_cannot_guess_their_password(
    deps: Deps, client: AsyncClient
) -> None:
    anna = await somebody(deps, STAFF)
    _, headers = await inside(deps, anna.account_id, KIOSKS)

    guesses = [
        (await client.post(CHANGE, json=said(old=f"guess {n}"), headers=headers)).status_code
        for n in range(11)
    ]

    assert guesses[0] == 403
    assert guesses[-1] == 429


async def test_nobody_changes_a_password_without_being_in(client: AsyncClient) -> None:
    assert (await client.post(CHANGE, json=said())).status_code == 401
