"""Whose phone it is, as the accounts in the log say."""

from collections.abc import AsyncIterator

import pytest

from services.gateway import bootstrap
from services.gateway.deps import Deps
from services.gateway.domain.person import Person
from services.gateway.handlers.account import open_account
from services.gateway.handlers.one_time_code import Owner
from tests.services.gateway.code_desk import migrated, some_phone
from tests.services.gateway.conftest import gateway_settings


@pytest.fixture
async def deps(postgres_url: str) -> AsyncIterator[Deps]:
    with migrated(postgres_url) as url:
        settings = gateway_settings("http://127.0.0.1:1", database_url=url)
        async with bootstrap.open_deps(settings) as opened:
            yield opened


async def test_a_phone_is_known_as_soon_as_its_account_is_open(deps: Deps) -> None:
    phone, plain, nobodys = some_phone(), some_phone(), some_phone()
    who_has = deps.code_desk.who_has
    for person in (Person(phone=phone, telegram_id=4242), Person(phone=plain)):
        await open_account(deps.identity, person, password=None, roles=[], actor="test")

    assert await who_has(phone) == Owner(is_known=True, telegram_id=4242)
    assert await who_has(plain) == Owner(is_known=True, telegram_id=None)
    assert await who_has(nobodys) == Owner(is_known=False)
