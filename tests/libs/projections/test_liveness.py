"""What one read model does wrong, or the server, stops nothing else and is seen at once."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from deploy.local.ports import free_port
from libs.eventsourcing.tail import read_page
from libs.postgres.pool import open_pool
from libs.projections import checkpoints, membership, parking
from libs.projections.apply import apply_page
from libs.projections.checkpoints import MAIN, Checkpoint
from libs.projections.follower import Follower, FollowerContext
from libs.projections.parking import StillFailing
from libs.projections.runner import Polling, ProjectionRunner
from libs.testing.polling import eventually
from tests.chaos.proxy import Proxy
from tests.libs.messaging.lab import Cursed, order, running
from tests.libs.projections.shop import Shop

FOR_EVER = "SELECT pg_sleep(3600)"
KEY = ("demo", "order-1")
LATER = """CREATE TABLE later (
    n int REFERENCES later (m) DEFERRABLE INITIALLY DEFERRED, m int UNIQUE
)"""


async def raises_an_error_of_the_network(connection: Any) -> None:
    raise ConnectionResetError("a company's address does not answer")


async def raises_an_error_of_files(connection: Any) -> None:
    raise FileNotFoundError("no such file")


async def asks_what_cannot_be_asked(connection: Any) -> None:
    await connection.fetchval("SELECT $1::int")  # asyncpg: an InterfaceError


async def breaks_a_rule_that_is_checked_at_the_commit(connection: Any) -> None:
    await connection.execute("INSERT INTO later VALUES (1, 2)")


async def catches_an_error_of_the_transaction(connection: Any) -> None:
    with suppress(asyncpg.DivisionByZeroError):
        await connection.execute("SELECT 1 / 0")


WRONGS: list[Callable[[Any], Any]] = [
    raises_an_error_of_the_network,
    raises_an_error_of_files,
    asks_what_cannot_be_asked,
    breaks_a_rule_that_is_checked_at_the_commit,
    catches_an_error_of_the_transaction,
]


def going_wrong(project: Any, wrong: Callable[[Any], Any]) -> Any:
    """The same, but wrong with the number 1, after it."""

    async def projecting(connection: Any, events: Sequence[Any]) -> None:
        await project(connection, events)
        if any(envelope.event.n == 1 for envelope in events):
            await wrong(connection)

    return projecting


@pytest.mark.parametrize("wrong", WRONGS, ids=lambda wrong: wrong.__name__)
async def test_an_error_of_a_projection_parks_the_stream_of_the_event(
    shop: Shop, wrong: Callable[[Any], Any]
) -> None:
    await shop.pool.execute(LATER)
    shop.tally.project = going_wrong(shop.tally.project, wrong)  # type: ignore[method-assign]
    async with running(shop.runner()):
        await shop.append_numbers(range(3))
        await eventually(shop.rows, {order(n): [n] for n in range(3)})
        await eventually(shop.counted, 2)
    [parked] = await shop.pool.fetch("SELECT projection, stream, reason FROM parked_events")
    assert tuple(parked) == ("tally", order(1), "failed")


async def test_a_timeout_raised_by_a_projection_detaches_it(shop: Shop) -> None:
    shop.tally.error = TimeoutError("its own")
    async with running(shop.runner()):
        await shop.append_numbers(range(3))
        await eventually(shop.rows, {order(n): [n] for n in range(3)})
        await eventually(shop.checkpoint_names, {"ledger": "main", "tally": "detached/tally"})


async def detached_while_the_others_went_on(shop: Shop, connection: Any) -> Checkpoint:
    """The tally's own checkpoint, three numbers behind the main one."""
    await shop.step()
    await shop.append_numbers(range(3))
    main = await checkpoints.read(connection, MAIN)
    assert main
    await membership.detach(connection, main, shop.tally.projection, "for a test")
    main = await checkpoints.read(connection, MAIN)
    assert main
    page = await read_page(connection, main.cursor, limit=9)
    await apply_page(connection, [shop.ledger.projection], main, page, service="lab")
    own = await checkpoints.read(connection, checkpoints.detached("tally"))
    assert own
    return own


async def test_events_applied_by_rejoining_are_reported(shop: Shop) -> None:
    reported: Counter[str] = Counter()

    def applied(models: Sequence[str], events: Sequence[Any], began: int, ended: int) -> None:
        reported.update({model: len(events) for model in models})

    models = {model.name: model for model in shop.models}
    shared = FollowerContext(models=models, service="lab", polling=Polling(), on_applied=[applied])
    async with shop.pool.acquire() as connection:
        own = await detached_while_the_others_went_on(shop, connection)
        assert await Follower(shop.pool, own.name, shared)._rejoin(connection, own, own.cursor)
    await shop.applied(3)
    assert await shop.checkpoint_names() == {"ledger": "main", "tally": "main"}
    assert reported == {"tally": 3}


async def test_rejoining_is_given_up_if_it_takes_long(shop: Shop) -> None:
    models = {model.name: model for model in shop.models}
    shared = FollowerContext(models=models, service="lab", polling=Polling(), on_applied=[])
    async with shop.pool.acquire() as connection:
        own = await detached_while_the_others_went_on(shop, connection)
        shop.tally.statement = FOR_EVER
        async with asyncio.timeout(60):
            follower = Follower(shop.pool, own.name, shared)
            assert not await follower._rejoin(connection, own, own.cursor)
        assert not follower._may_rejoin(own.cursor)
    assert (await shop.checkpoint_names())["tally"] == "detached/tally"


async def test_a_retry_that_takes_too_long_is_given_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "RETRY_SECONDS", 1)
    await shop.append("order-1", Cursed(1))
    await shop.step()

    async def slow(connection: Any, events: Any) -> None:
        await connection.execute(FOR_EVER)

    shop.ledger.project = slow  # type: ignore[method-assign]
    async with asyncio.timeout(60):
        with pytest.raises(StillFailing, match="QueryCanceled"):
            await parking.retry(shop.pool, shop.ledger.projection, KEY)
    assert [one.attempts for one in await parking.list_parked(shop.pool)] == [2]


async def test_a_checkpoint_that_is_missing_is_trouble_and_no_busy_loop(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.step()
    await shop.pool.execute(
        "INSERT INTO projection_checkpoints (name) VALUES ('elsewhere');"
        "UPDATE projections SET checkpoint = 'elsewhere', version = 0;"
        "DELETE FROM projection_checkpoints WHERE name = 'main'"
    )
    runner, calls = shop.runner(), Counter[str]()
    checkpoint_names = runner._checkpoint_names

    async def counted() -> Any:
        calls["checkpoint_names"] += 1
        return await checkpoint_names()

    monkeypatch.setattr(runner, "_checkpoint_names", counted)
    async with running(runner):
        await eventually(lambda: "missing" in (runner.progress("ledger").trouble or ""))
        assert calls["checkpoint_names"] < 5


async def test_a_server_that_falls_silent_is_noticed_by_a_runner_within_seconds(
    shop: Shop, database: str
) -> None:
    head, _, tail = database.rpartition("@")
    port, _, name = tail.rpartition(":")[2].partition("/")
    async with Proxy(free_port(), int(port)) as proxy:
        pool = await open_pool(
            f"{head}@{proxy.address}/{name}",
            role=None,
            schema="public",
            size=4,
            application_name="test",
            tenant_scope="*",
        )
        polling = Polling(longest=0.01)
        runner = ProjectionRunner(pool, shop.models, service="lab", polling=polling)
        async with running(runner):
            await shop.append_numbers(range(3))
            await shop.applied(3)
            proxy.swallows = True
            # Without a breaker it would be the client's limit of a statement: half a minute.
            async with asyncio.timeout(20):
                await eventually(lambda: runner.progress("ledger").trouble)
            proxy.swallows = False
            await shop.append_numbers(range(3, 6))
            await shop.applied(6)
        await pool.close()
