"""Answers to devices when the database goes away in between, and when several answer at once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from contracts.gateway import AccountOpened, DeviceEnrolled, DeviceRefused
from libs.errors import Unavailable
from services.gateway.adapters import device_grants
from services.gateway.domain.device_client import CLIENTS
from services.gateway.domain.device_grant import AnsweredAlready, GrantRefused, Verdict
from services.gateway.domain.person import email
from services.gateway.domain.realm import Role
from services.gateway.domain.session import SESSION
from services.gateway.handlers.device_answer import Manager, answer
from services.gateway.handlers.device_grant import About, Codes, Waiting, ask, collect, find
from services.gateway.handlers.identity import Identity, profile
from tests.services.gateway.told import KIOSK, PASSWORD, Clock, an_identity, open_account, told

CLIENT = CLIENTS["tillstream-kiosk"]
ADMIN = Role(KIOSK, "admin")
ADDRESS = "10.0.0.1"


@pytest.fixture
async def identity(database: str) -> AsyncIterator[Identity]:
    async with an_identity(database, Clock()) as made:
        await open_account(made, "anna@example.com", ADMIN)
        yield made


def anna() -> Manager:
    return Manager(
        address=email("anna@example.com"), password=PASSWORD, tenant=None, default="demo"
    )


async def waiting(identity: Identity) -> tuple[Codes, Waiting]:
    codes = await ask(identity, CLIENT, About(label="Hall", address=ADDRESS, agent=""))
    found = await find(identity, codes.user_code, address=ADDRESS)
    assert found is not None
    return codes, found


async def count_of(identity: Identity, kind: type[Any]) -> int:
    return len([one for one in await told(identity) if isinstance(one.event, kind)])


class Broken:
    """A store that fails as soon as it should write what begins so."""

    def __init__(self, store: Any, stream: str) -> None:
        self._store = store
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, stream: str, *args: Any, **kwargs: Any) -> Any:
        if stream.startswith(self._stream):
            raise Unavailable
        return await self._store.append(stream, *args, **kwargs)

    async def record(self, facts: Any, **kwargs: Any) -> Any:
        if any(fact.stream.startswith(self._stream) for fact in facts):
            raise Unavailable
        return await self._store.record(facts, **kwargs)


def broken(identity: Identity, stream: str) -> Identity:
    store: Any = Broken(identity.store, stream)
    return replace(identity, store=store)


async def test_a_device_gets_its_account_with_who_let_it_in(identity: Identity) -> None:
    codes, found = await waiting(identity)

    tenant = await answer(identity, found, anna(), allow=True)
    into = await collect(identity, codes.device_code, CLIENT)

    assert tenant == "demo"
    assert into.account.account_id == found.grant.account_id
    assert into.role == "kiosk"
    assert into.scopes == {"kiosk:device"}
    made = await profile(identity, found.grant.account_id)
    assert (made.person.name, made.roles) == ("Kiosk: Hall", {KIOSK: "kiosk"})
    streams = {type(one.event): one.stream for one in await told(identity)}
    assert streams[DeviceEnrolled] == "access-kiosk"


@pytest.mark.parametrize("allow", [True, False])
async def test_an_answer_that_could_not_be_told_may_be_given_again(
    identity: Identity, *, allow: bool
) -> None:
    codes, found = await waiting(identity)
    failing = broken(identity, f"account-{found.grant.account_id}" if allow else "access-kiosk")

    with pytest.raises(Unavailable):
        await answer(failing, found, anna(), allow=allow)
    with pytest.raises(GrantRefused) as pending:
        await collect(identity, codes.device_code, CLIENT)
    await answer(identity, found, anna(), allow=allow)

    assert pending.value.verdict is Verdict.PENDING
    assert await count_of(identity, DeviceEnrolled if allow else DeviceRefused) == 1


async def test_a_device_that_could_not_be_let_in_just_now_comes_again(identity: Identity) -> None:
    codes, found = await waiting(identity)
    await answer(identity, found, anna(), allow=True)

    with pytest.raises(Unavailable):
        await collect(broken(identity, SESSION.stream("")), codes.device_code, CLIENT)

    assert (await collect(identity, codes.device_code, CLIENT)).role == "kiosk"


async def test_nobody_else_answers_while_it_is_not_known_whether_a_device_was_let_in(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, found = await waiting(identity)

    settle = device_grants.settle
    failures = iter([Unavailable()])

    async def lost(*args: Any, **kwargs: Any) -> None:
        for failure in failures:
            raise failure
        await settle(*args, **kwargs)

    monkeypatch.setattr(device_grants, "settle", lost)
    with pytest.raises(Unavailable):
        await answer(identity, found, anna(), allow=True)

    # Until its code runs out.
    with pytest.raises(AnsweredAlready):
        await answer(identity, found, anna(), allow=False)
    assert await count_of(identity, DeviceRefused) == 0


async def test_of_yes_and_no_at_once_one_counts(identity: Identity) -> None:
    _, found = await waiting(identity)

    done = await asyncio.gather(
        *(answer(identity, found, anna(), allow=bool(n % 2)) for n in range(4)),
        return_exceptions=True,
    )

    assert [type(one) for one in done].count(AnsweredAlready) == 3
    told_of = [await count_of(identity, kind) for kind in (DeviceEnrolled, DeviceRefused)]
    assert sum(told_of) == 1
    assert await count_of(identity, AccountOpened) == 1 + told_of[0]
