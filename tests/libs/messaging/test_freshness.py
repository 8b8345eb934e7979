"""Reading your own writes: the truth within the deadline, or "stale"."""

import asyncio
from uuid import uuid4

import pytest

from libs.eventsourcing.log import ANY, Cause
from libs.eventsourcing.tokens import MAX_TOKEN, TokenMalformed
from libs.messaging import freshness as freshness_of
from libs.messaging.freshness import Freshness
from libs.testing.waiting import PATIENCE_SECONDS, eventually
from tests.libs.messaging.lab import CAUSE, Lab, Numbered, order, running


def freshness(lab: Lab, *, deadline: float = PATIENCE_SECONDS) -> Freshness:
    return Freshness(lab.pool, [lab.ledger.projection], prefix=lab.prefix, deadline=deadline)


@pytest.mark.parametrize("clients", [25, pytest.param(250, marks=pytest.mark.system)])
async def test_forty_writes_of_each_client_are_read_back_by_it(lab: Lab, clients: int) -> None:
    fresh = freshness(lab)

    async def write_and_read(client: int) -> int:
        for number in range(40):
            token = await lab.append(order(client), Numbered(number))
            assert await fresh.wait("ledger", token)
            query = "SELECT seen FROM ledger WHERE stream = $1"
            assert await lab.pool.fetchval(query, order(client)) == list(range(number + 1))
        return 40

    async with running(lab.relay(page=2000), lab.projector()):
        pairs = await asyncio.gather(*(write_and_read(client) for client in range(clients)))

    assert sum(pairs) == 40 * clients


@pytest.mark.parametrize(("present", "away"), [("relay", "projector"), ("projector", "relay")])
async def test_a_relay_or_projector_that_is_away_is_answered_with_stale(
    lab: Lab, present: str, away: str
) -> None:
    async with running(getattr(lab, present)()):
        token = await lab.append("order-1", Numbered(1))
        assert not await freshness(lab, deadline=0.2).wait("ledger", token)
        async with running(getattr(lab, away)()):
            assert await freshness(lab).wait("ledger", token)


async def test_a_token_of_several_transactions_needs_all_of_them(lab: Lab) -> None:
    async with running(lab.relay(), lab.projector()):
        first = await lab.append("order-1", Numbered(1))
        assert await freshness(lab).wait("ledger", first)
    second = await lab.append("order-2", Numbered(2))

    # Releases before this one named the transactions only.
    older = first.partition(".")[0]
    assert not await freshness(lab, deadline=0.2).wait("ledger", f"{older},{second}")
    async with running(lab.relay(), lab.projector()):
        for token in (f"{first},{second}", f"{older},{second}"):
            assert await freshness(lab).wait("ledger", token)
    assert await lab.rows() == {"order-1": [1], "order-2": [2]}


async def test_other_peoples_load_does_not_keep_a_reader_waiting(lab: Lab) -> None:
    stop = asyncio.Event()

    async def write(client: int) -> None:
        while not stop.is_set():
            await lab.append(order(client), Numbered(0))

    async with running(lab.relay(), lab.projector()):
        writers = [asyncio.create_task(write(client)) for client in range(20)]
        for number in range(5):
            token = await lab.append("order-mine", Numbered(number))
            assert await freshness(lab).wait("ledger", token)
        stop.set()
        await asyncio.gather(*writers)


async def test_everything_written_so_far_is_there_once_caught_up(lab: Lab) -> None:
    async with running(lab.relay(), lab.projector()):
        for number in range(30):
            await lab.append("order-1", Numbered(number))
            assert await freshness(lab).caught_up("ledger", "demo")
            query = "SELECT seen FROM ledger WHERE stream = 'order-1'"
            assert await lab.pool.fetchval(query) == list(range(number + 1))


async def test_nothing_catches_up_while_relay_or_projector_are_away(lab: Lab) -> None:
    assert await freshness(lab).caught_up("ledger", "demo")
    await lab.append("order-1", Numbered(1))
    async with running(lab.projector()):
        assert not await freshness(lab, deadline=0.3).caught_up("ledger", "demo")
    async with running(lab.relay()):
        assert not await freshness(lab, deadline=0.3).caught_up("ledger", "demo")
        async with running(lab.projector()):
            assert await freshness(lab).caught_up("ledger", "demo")
    assert await freshness(lab).caught_up("ledger", "demo")


@pytest.mark.parametrize("apart", [freshness_of.MARK_SECONDS, 3600], ids=["often", "seldom"])
async def test_a_tenant_waits_for_no_event_of_others(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, apart: float
) -> None:
    monkeypatch.setattr(freshness_of, "MARK_SECONDS", apart)

    async def strangers_write() -> None:
        cause = Cause(tenant="other")
        event = [Numbered(1)]
        await lab.store.append(order(1), event, expected=ANY, cause=cause, command_id=uuid4())

    known, patient = freshness(lab, deadline=0.3), freshness(lab)
    async with running(lab.relay()):
        async with running(lab.projector()):
            # Looks from before the write may be all that is remembered of the time before.
            assert await patient.caught_up("ledger", "demo")
            await lab.append("order-1", Numbered(1))
            assert await patient.caught_up("ledger", "demo")
            await eventually(lambda: known.caught_up("ledger", "demo"))
        await strangers_write()
        await eventually(lab.published, 2)

        assert await patient.caught_up("ledger", "demo")
        assert not await known.caught_up("ledger", "other")
        await lab.append("order-1", Numbered(2))
        assert not await known.caught_up("ledger", "demo")
        async with running(lab.projector()):
            assert await patient.caught_up("ledger", "demo")


async def test_a_token_of_nothing_is_fresh_at_once_and_what_is_none_is_refused(lab: Lab) -> None:
    assert await freshness(lab).wait("ledger", (await lab.store.record([], cause=CAUSE)).token)
    for token in ("x", "-1", "1,", "1;2", "1.", ".5", "1.5.2", " 1", "²", "1" * (MAX_TOKEN + 1)):
        with pytest.raises(TokenMalformed):
            await freshness(lab).wait("ledger", token)
    with pytest.raises(KeyError):
        await freshness(lab).wait("nothing", "1")


async def test_a_token_of_a_transaction_that_never_was_is_stale(lab: Lab) -> None:
    async with running(lab.relay(), lab.projector()):
        await lab.append("order-1", Numbered(1))
        for token in ("9" * 15, "9" * 40, f"{'9' * 40}.1"):
            assert not await freshness(lab, deadline=0.2).wait("ledger", token)
        await eventually(lab.rows, {"order-1": [1]})
