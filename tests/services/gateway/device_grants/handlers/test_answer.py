"""Answers to devices when the database goes away in between, and when several answer at once."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from contracts.gateway import AccountOpened, DeviceEnrolled, DeviceRefused
from libs.errors import Unavailable
from services.gateway.accounts.domain.device_client import CLIENTS
from services.gateway.accounts.domain.person import email
from services.gateway.accounts.domain.realm import Role
from services.gateway.accounts.handlers.identity import Identity
from services.gateway.device_grants import stores as device_grants
from services.gateway.device_grants.domain.grant import AlreadyAnswered, GrantRefused, Verdict
from services.gateway.device_grants.handlers.answer import Approver, answer_grant
from services.gateway.device_grants.handlers.grant import (
    DeviceInfo,
    GrantCodes,
    PendingDevice,
    find_by_user_code,
    redeem,
    request_codes,
)
from services.gateway.sessions.domain.session import SESSION
from tests.services.gateway.identities import ANNA, KIOSK, PASSWORD, People, history_of

CLIENT = CLIENTS["tillstream-kiosk"]
ADDRESS = "10.0.0.1"
MANAGER = Approver(
    address=email(ANNA), password=PASSWORD, tenant=None, default="demo", attempts=None
)


@pytest.fixture
async def identity(identity: Identity) -> Identity:
    """Where Anna manages the kiosks."""
    await People(identity).open(ANNA, Role(KIOSK, "admin"))
    return identity


async def waiting_device(identity: Identity) -> tuple[GrantCodes, PendingDevice]:
    codes = await request_codes(
        identity, CLIENT, DeviceInfo(label="Hall", address=ADDRESS, agent="")
    )
    found = await find_by_user_code(identity, codes.user_code, address=ADDRESS, browser="")
    assert found is not None
    return codes, found


async def count_of(identity: Identity, kind: type[Any]) -> int:
    return len([one for one in await history_of(identity) if isinstance(one.event, kind)])


class FailingStore:
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


def failing_store(identity: Identity, stream: str) -> Identity:
    store: Any = FailingStore(identity.store, stream)
    return replace(identity, store=store)


@pytest.mark.parametrize("allow", [True, False])
async def test_an_unrecorded_answer_may_be_given_again(identity: Identity, *, allow: bool) -> None:
    codes, found = await waiting_device(identity)
    failing = failing_store(
        identity, f"account-{found.grant.account_id}" if allow else "access-kiosk"
    )

    with pytest.raises(Unavailable):
        await answer_grant(failing, found, MANAGER, allow=allow)
    with pytest.raises(GrantRefused) as pending:
        await redeem(identity, codes.device_code, CLIENT)
    await answer_grant(identity, found, MANAGER, allow=allow)

    assert pending.value.verdict is Verdict.PENDING
    assert await count_of(identity, DeviceEnrolled if allow else DeviceRefused) == 1


async def test_an_approved_device_can_poll_again_after_a_failure(identity: Identity) -> None:
    codes, found = await waiting_device(identity)
    await answer_grant(identity, found, MANAGER, allow=True)

    with pytest.raises(Unavailable):
        await redeem(failing_store(identity, SESSION.stream("")), codes.device_code, CLIENT)

    assert (await redeem(identity, codes.device_code, CLIENT)).role == "kiosk"


async def test_no_other_answer_counts_while_the_outcome_of_one_is_unknown(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, found = await waiting_device(identity)

    async def lost(*_: Any, **__: Any) -> None:
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(device_grants, "set_status", lost)
        with pytest.raises(Unavailable):
            await answer_grant(identity, found, MANAGER, allow=True)

    # Until its code runs out.
    with pytest.raises(AlreadyAnswered):
        await answer_grant(identity, found, MANAGER, allow=False)
    assert await count_of(identity, DeviceRefused) == 0


async def test_of_yes_and_no_at_once_one_counts(identity: Identity) -> None:
    _, found = await waiting_device(identity)

    done = await asyncio.gather(
        *(answer_grant(identity, found, MANAGER, allow=bool(n % 2)) for n in range(4)),
        return_exceptions=True,
    )

    assert [type(one) for one in done].count(AlreadyAnswered) == 3
    recorded = [await count_of(identity, kind) for kind in (DeviceEnrolled, DeviceRefused)]
    assert sum(recorded) == 1
    assert await count_of(identity, AccountOpened) == 1 + recorded[0]
