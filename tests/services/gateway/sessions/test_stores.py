"""What an account began is found again, and what is long over is forgotten in time."""

from datetime import timedelta
from uuid import UUID, uuid4

from contracts.gateway import AccountId, SessionId
from libs.clock import utc_now
from libs.postgres.pool import Pool
from services.gateway.accounts.domain.realm import PLATFORM
from services.gateway.sessions.stores import begun as begun_sessions
from services.gateway.sessions.stores import known_networks
from services.gateway.sessions.stores.begun import LONG_OVER, ONE_IN

INSERT_SESSION = """
INSERT INTO session (tenant, session_id, account_id, realm, of_tenant, device, opened_at,
    refreshed_at, expires_at)
VALUES ($1, $2, $3, 'crm', 'demo', '', $4, $4, $4)"""


def session_id(number: int) -> SessionId:
    """The id of a session at which the others are gone through, if the number is 0 of `ONE_IN`."""
    return SessionId(UUID(int=uuid4().int // ONE_IN * ONE_IN + number))


async def test_sessions_that_are_long_over_are_forgotten_now_and_then(pool: Pool) -> None:
    account, now = AccountId(uuid4()), utc_now()
    over, lately, unknown = (session_id(n) for n in (1, 2, 3))
    for one in (over, lately, unknown):
        await begun_sessions.begin(pool, account, one, now)
    await pool.execute(
        INSERT_SESSION, PLATFORM, over, account, now - LONG_OVER - timedelta(seconds=1)
    )
    await pool.execute(INSERT_SESSION, PLATFORM, lately, account, now - timedelta(seconds=1))

    await begun_sessions.begin(pool, account, seldom := session_id(4), now)
    before = set(await begun_sessions.of_account(pool, account))
    await begun_sessions.begin(pool, account, cleaning := session_id(0), now)
    await begun_sessions.begin(pool, account, cleaning, now)

    assert before == {over, lately, unknown, seldom}
    after = set(await begun_sessions.of_account(pool, account))
    assert after == {lately, unknown, seldom, cleaning}


async def test_a_network_is_known_lately_until_it_is_worth_remembering_again(pool: Pool) -> None:
    digests, now = ("here", "pair"), utc_now()
    assert await known_networks.known(pool, digests, now) == {}

    await known_networks.remember(pool, digests, now)

    for later, lately in ((0, True), (1, True), (25, False), (24 * 89, False)):
        at = now + timedelta(hours=later)
        assert await known_networks.known(pool, digests, at) == dict.fromkeys(digests, lately)
    assert await known_networks.known(pool, digests, now + known_networks.KEPT_FOR) == {}
    await known_networks.remember(pool, digests, tomorrow := now + timedelta(hours=25))
    assert await known_networks.known(pool, digests, tomorrow) == dict.fromkeys(digests, True)
