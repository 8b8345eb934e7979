"""History alone decides what is in the tables of accounts and sessions."""

from collections import defaultdict
from collections.abc import AsyncIterator
from random import Random

import pytest

from contracts.envelope import Envelope
from contracts.gateway import GatewayEvent
from libs.postgres.pool import acquired
from services.gateway.domain.person import Person
from services.gateway.domain.realm import Role
from services.gateway.handlers import account as accounts
from services.gateway.handlers import administration
from services.gateway.handlers import session as sessions
from services.gateway.handlers.identity import Identity
from services.gateway.read_models import account_rows, session
from tests.services.gateway.told import (
    CRM,
    ENGINEER,
    KIOSK,
    TABLES,
    Clock,
    an_identity,
    enter,
    open_account,
    tables,
    told,
)

History = list[Envelope[GatewayEvent]]


@pytest.fixture
async def identity(database: str) -> AsyncIterator[Identity]:
    async with an_identity(database, Clock()) as made:
        yield made


async def much_happens(identity: Identity) -> None:
    """Addresses change hands, roles come and go, sessions are opened, refreshed and ended."""
    for number in range(4):
        anna = await open_account(identity, "a@example.com", ENGINEER, username=f"u{number}")
        into = await enter(identity, "a@example.com")
        await sessions.refresh(identity, into.refresh_token)
        await administration.grant_role(identity, anna.account_id, Role(KIOSK, "staff"), actor="")
        await accounts.change_person(
            identity, anna.account_id, Person(email=f"a{number}@example.com"), actor=""
        )
        await accounts.reset_password(identity, anna.account_id, new="battery staple", actor="")
        await administration.withdraw_role(identity, anna.account_id, CRM, actor="")
        await sessions.revoke(identity, into.session_id, reason="revoked", actor="")
        if number % 2:
            await administration.remove(identity, anna.account_id, actor="")
        else:
            await administration.deactivate(identity, anna.account_id, reason="", actor="")


def mixed(random: Random, history: History) -> list[History]:
    """The same in other batches and another order: each stream in its own, facts in any."""
    lanes: dict[str, History] = defaultdict(list)
    for number, one in enumerate(history):
        lanes[one.stream if one.version is not None else f"fact {number}"].append(one)
    shuffled: History = []
    while lanes:
        name = random.choice(sorted(lanes))
        shuffled.append(lanes[name].pop(0))
        if not lanes[name]:
            del lanes[name]
    cuts = sorted(random.sample(range(1, len(shuffled)), 12))
    return [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]


async def applied(identity: Identity, batches: list[History]) -> object:
    async with acquired(identity.pool) as connection, connection.transaction():
        for table in TABLES:
            await connection.execute(f"DELETE FROM {table}")
    for batch in batches:
        async with acquired(identity.pool) as connection, connection.transaction():
            await account_rows.project(connection, batch)
            await session.project(connection, batch)
    return await tables(identity.pool)


async def test_batches_and_the_order_of_streams_do_not_matter(identity: Identity) -> None:
    await much_happens(identity)
    history = await told(identity)
    expected = await applied(identity, [history])
    assert all((await tables(identity.pool)).values())

    for seed in range(8):
        assert await applied(identity, mixed(Random(seed), history)) == expected, f"seed {seed}"
