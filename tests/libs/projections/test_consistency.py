"""Reading your own writes: the truth within the deadline, or "stale"."""

import asyncio

import pytest

from libs.eventsourcing.tokens import TokenMalformed
from libs.projections.consistency import Consistency
from libs.testing.polling import eventually
from tests.libs.messaging.lab import Cursed, Numbered, order, running
from tests.libs.projections.shop import METADATA, Shop

SHARDS = pytest.mark.parametrize("shards", [1, 3])


@SHARDS
@pytest.mark.parametrize("clients", [25, pytest.param(250, marks=pytest.mark.system)])
async def test_forty_writes_of_each_client_are_read_back_by_it(shop: Shop, clients: int) -> None:
    consistency = shop.consistency()

    async def write_and_read(client: int) -> int:
        for number in range(40):
            token = await shop.append(order(client), Numbered(number))
            assert await consistency.wait_for_token("ledger", token)
            query = "SELECT seen FROM ledger WHERE stream = $1"
            assert await shop.pool.fetchval(query, order(client)) == list(range(number + 1))
        return 40

    async with running(shop.runner()):
        pairs = await asyncio.gather(*(write_and_read(client) for client in range(clients)))

    assert sum(pairs) == 40 * clients


@SHARDS
async def test_reads_are_stale_while_the_runner_is_away(shop: Shop) -> None:
    token = await shop.append("order-1", Numbered(1))
    assert not await shop.consistency(deadline=0.2).wait_for_token("ledger", token)
    assert not await shop.consistency(deadline=0.2).caught_up("ledger", "demo")
    async with running(shop.runner()):
        assert await shop.consistency().wait_for_token("ledger", token)
        assert await shop.consistency().caught_up("ledger", "demo")


@SHARDS
async def test_a_token_of_several_transactions_needs_all_of_them(shop: Shop) -> None:
    async with running(shop.runner()):
        first = await shop.append("order-1", Numbered(1))
        assert await shop.consistency().wait_for_token("ledger", first)
    second = await shop.append("order-2", Numbered(2))

    assert not await shop.consistency(deadline=0.2).wait_for_token("ledger", f"{first},{second}")
    async with running(shop.runner()):
        assert await shop.consistency().wait_for_token("ledger", f"{first},{second}")
    assert await shop.rows() == {"order-1": [1], "order-2": [2]}


@SHARDS
@pytest.mark.parametrize("old", [False, True], ids=["with its position", "of an older version"])
async def test_a_token_within_a_long_difference_is_included_with_its_page(
    shop: Shop, old: bool
) -> None:
    tokens = [await shop.append("order-1", Numbered(n)) for n in range(6)]
    if old:
        tokens = [token.partition(".")[0] for token in tokens]
    shop.ledger.cursed = True
    async with shop.pool.acquire() as connection, running(shop.runner(page=3)):
        async with connection.transaction():
            await eventually(shop.rows, {"order-1": list(range(6))})
        consistency = shop.consistency()
        assert all([await consistency.wait_for_token("ledger", token) for token in tokens])


@SHARDS
async def test_writes_of_others_do_not_delay_a_reader(shop: Shop) -> None:
    stop = asyncio.Event()

    async def write(client: int) -> None:
        while not stop.is_set():
            await shop.append(order(client), Numbered(0), tenant="other")

    async with running(shop.runner()):
        writers = [asyncio.create_task(write(client)) for client in range(20)]
        for number in range(5):
            token = await shop.append("order-mine", Numbered(number))
            assert await shop.consistency().wait_for_token("ledger", token)
            assert await shop.consistency().caught_up("ledger", "demo")
        stop.set()
        await asyncio.gather(*writers)


@SHARDS
async def test_a_tenant_waits_for_no_event_of_others(shop: Shop) -> None:
    async with running(shop.runner()):
        await shop.append("order-1", Numbered(1))
        assert await shop.consistency().caught_up("ledger", "demo")
    await shop.append("order-2", Numbered(1), tenant="other")

    assert await shop.consistency(deadline=0.3).caught_up("ledger", "demo")
    assert not await shop.consistency(deadline=0.3).caught_up("ledger", "other")
    await shop.append("order-1", Numbered(2))
    assert not await shop.consistency(deadline=0.3).caught_up("ledger", "demo")


@SHARDS
async def test_parked_streams_do_not_delay_a_reader(shop: Shop) -> None:
    async with running(shop.runner()):
        token = await shop.append("order-1", Cursed(1))
        assert await shop.consistency().wait_for_token("ledger", token)
        assert (await shop.consistency().positions())["ledger"].parked


@SHARDS
async def test_an_empty_token_is_fresh_at_once_and_a_malformed_one_is_refused(shop: Shop) -> None:
    consistency = shop.consistency()
    assert await consistency.wait_for_token(
        "ledger", (await shop.store.record([], metadata=METADATA)).token
    )
    for token in ("x", "-1", "1,", "1;2", "1.", ".5", "1.5.6", " 1", "²", "1," * 20_000 + "1"):
        with pytest.raises(TokenMalformed):
            await consistency.wait_for_token("ledger", token)
    with pytest.raises(KeyError):
        await consistency.wait_for_token("nothing", "1")


@SHARDS
async def test_a_token_of_a_transaction_without_events_is_stale_only_if_earlier_events_are_missing(
    shop: Shop,
) -> None:
    async with running(shop.runner()):
        await shop.append("order-1", Numbered(1))
        assert await shop.consistency().caught_up("ledger", "demo")
    empty = await shop.pool.fetchval("SELECT pg_current_xact_id()::text") + ".1"
    assert await shop.consistency().wait_for_token("ledger", empty)
    await shop.append("order-1", Numbered(2))
    assert not await shop.consistency(deadline=0.2).wait_for_token("ledger", empty)


@SHARDS
async def test_a_token_of_an_unknown_transaction_is_stale(shop: Shop) -> None:
    async with running(shop.runner()):
        await shop.append("order-1", Numbered(1))
        for token in ("9" * 15, "9" * 40, "9" * 15 + ".1"):
            assert not await shop.consistency(deadline=0.2).wait_for_token("ledger", token)
        await eventually(shop.rows, {"order-1": [1]})


async def test_a_token_of_very_many_transactions_needs_no_later_one_to_begin(shop: Shop) -> None:
    for number in range(3):
        await shop.append("order-1", Numbered(number))
    await shop.step()
    later = await shop.pool.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
    consistency = shop.consistency(deadline=1)
    assert await consistency.wait_for_token("ledger", f"{later}.3")
    assert not await consistency.wait_for_token("ledger", f"{int(later) + 10_000_000}.3")


async def test_a_token_of_very_many_transactions_waits_for_earlier_writes_of_others(
    shop: Shop,
) -> None:
    """Its transaction moves no checkpoint, so the log is read again when one has moved."""
    await shop.append("order-1", Numbered(0))
    await shop.step()
    await shop.append("order-1", Numbered(1))
    now = await shop.pool.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
    pages = [shop.step]

    async def apply_others() -> None:
        # One page, for nothing is written for an empty one.
        if pages:
            await pages.pop()()
        await asyncio.sleep(0.01)

    consistency = Consistency(shop.pool, ["ledger"], deadline=5.0, pause=apply_others)
    # That page does not see the transaction yet.
    assert await consistency.wait_for_token("ledger", f"{int(now) + 1}.2")
    assert await shop.rows() == {"order-1": [0, 1]}
