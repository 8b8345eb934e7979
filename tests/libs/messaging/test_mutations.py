"""Every guard of a guarantee of reactions is tested: without the guard a test fails."""

import inspect
from typing import Final

import asyncpg
import pytest
from _pytest.outcomes import Failed

from libs.messaging import dedup, inbox, inbox_worker, positions
from libs.messaging.inbox_feed import InboxFeed
from libs.messaging.inbox_worker import InboxWorker
from tests.libs.messaging import test_dedup as numbers
from tests.libs.messaging import test_foreign_subscription as subscription
from tests.libs.messaging import test_inbox as messages
from tests.libs.messaging import test_inbox_feed as feed
from tests.libs.messaging import test_reaction as reaction
from tests.libs.messaging.mutations import Mutation
from tests.libs.messaging.reaction_harness import ReactionHarness, open_harness_without_broker

FREE: Final = "(claimed_until IS NULL OR claimed_until <= clock_timestamp())"
EARLIER: Final = "earlier.subject = one.subject AND earlier.done_at IS NULL"
FENCE: Final = "AND fence = $4"
FAILING = reaction.test_a_failing_message_is_retried_then_parked_and_blocks_later_ones
LOST_CLAIM = messages.test_a_worker_that_lost_its_claim_changes_nothing
REPLACED = messages.test_a_message_replaced_by_a_later_one_cannot_be_finished
IN_ORDER = messages.test_messages_of_one_key_are_handled_one_by_one_in_order_of_time
ONLY_PARKED = messages.test_only_parked_messages_can_be_retried_or_dropped
RECORDED = feed.test_a_gap_blocks_its_partition_until_it_is_skipped_and_recorded
ACCEPTED = feed.test_another_incarnation_is_read_only_after_it_is_accepted
UNBLOCKED = feed.test_missing_records_that_arrive_later_unblock_the_partition
NEW, GAP = (
    numbers.test_every_new_record_is_accepted_once,
    numbers.test_a_gap_stops_all_later_records,
)

OF_INBOX: Final = (
    Mutation("a claim holds", inbox, "_CLAIM", FREE, "true", IN_ORDER),
    Mutation("one at a time of a key", inbox, "_CLAIM", EARLIER, "false", IN_ORDER),
    Mutation("a claimed message is not replaced", inbox, "_SKIP", FREE, "true", REPLACED),
    Mutation(
        "no message before it is due",
        inbox,
        "_CLAIM",
        "AND due_at <= clock_timestamp()",
        "",
        messages.test_a_message_is_not_handled_before_it_is_due,
    ),
    Mutation(
        "back-off",
        inbox,
        "_CLAIM",
        "(retry_at IS NULL OR retry_at <= clock_timestamp())",
        "true",
        messages.test_a_failed_message_is_retried_after_a_pause,
    ),
    Mutation(
        "parked messages are not claimed",
        inbox,
        "_CLAIM",
        "AND parked_at IS NULL",
        "",
        FAILING,
        "fails",
    ),
    Mutation(
        "unreadable records block their stream",
        inbox,
        "_CLAIM",
        "unread.sequence < one.sequence",
        "false",
        feed.test_later_events_of_a_stream_wait_for_an_unreadable_one,
    ),
    Mutation("fence of the finish", inbox, "_COMPLETE", FENCE, "AND $4 > 0", LOST_CLAIM),
    Mutation("fence of the failure", inbox, "_FAIL", FENCE, "AND $4 > 0", LOST_CLAIM),
    Mutation("fence of a record read again", inbox, "_REMOVE", FENCE, "AND $4 > 0", LOST_CLAIM),
    Mutation(
        "a drop is recorded",
        inbox,
        "_DROP",
        "outcome = 'dropped', ",
        "",
        reaction.test_a_dropped_message_blocks_no_others,
    ),
    Mutation("finished once", inbox, "_COMPLETE", "AND done_at IS NULL", "", REPLACED),
    Mutation("a finished message cannot fail", inbox, "_FAIL", "AND done_at IS NULL", "", REPLACED),
    Mutation(
        "stored once",
        inbox,
        "_STORE",
        "DO NOTHING",
        "(reaction, tenant, event_id) DO UPDATE SET done_at = NULL",
        messages.test_a_repeated_message_is_handled_once,
    ),
    Mutation(
        "only parked messages are retried",
        inbox,
        "_RETRY",
        "AND parked_at IS NOT NULL",
        "",
        ONLY_PARKED,
    ),
    Mutation(
        "only parked messages are dropped",
        inbox,
        "_DROP",
        "AND parked_at IS NOT NULL",
        "",
        ONLY_PARKED,
    ),
    Mutation(
        "finish and effect in one transaction",
        InboxWorker,
        "_react",
        "connection, connection.transaction():",
        "connection:",
        reaction.test_an_effect_in_the_transaction_is_all_or_nothing,
    ),
    Mutation(
        "less time than the claim",
        InboxWorker,
        "react",
        "* 2 / 3",
        "* 9",
        messages.test_a_reaction_has_two_thirds_of_its_claim,
    ),
    Mutation(
        "attempts are counted",
        inbox_worker,
        "_must_park",
        "attempts >= ATTEMPTS",
        "False",
        FAILING,
        "fails",
    ),
    Mutation(
        "lost races are counted",
        inbox_worker,
        "_must_park",
        "attempts >= CONTENDED_ATTEMPTS",
        "False",
        FAILING,
        "loses races",
    ),
    Mutation(
        "outages are retried for ever",
        inbox_worker,
        "_must_park",
        "(Unavailable, ConnectionError)",
        "()",
        reaction.test_an_outage_is_waited_out_and_reported,
    ),
)

OF_POSITIONS: Final = (
    Mutation(
        "position and messages in one transaction",
        InboxFeed,
        "_store",
        "as connection, connection.transaction():",
        "as connection:",
        feed.test_messages_and_position_are_stored_together_or_not_at_all,
    ),
    Mutation(
        "positions are compared",
        positions,
        "_MOVE",
        "AND p.next_offset = moved.old_offset",
        "",
        feed.test_a_position_is_moved_only_from_its_stored_offset,
    ),
    Mutation(
        "a moved position is not stopped", positions, "_MOVE", "stopped = NULL, ", "", UNBLOCKED
    ),
    Mutation(
        "a gap is noted where it is",
        positions,
        "_STOP",
        "AND next_offset = $4",
        "AND $4 >= 0",
        UNBLOCKED,
    ),
    Mutation(
        "a skipped gap is recorded",
        positions,
        "skip",
        "await connection.execute(_AUDIT, *key, gap.kind, *labels, *given)",
        "pass",
        RECORDED,
    ),
    Mutation(
        "an incarnation ends the one before",
        positions,
        "skip",
        "await connection.execute(_RETIRE, *key, *labels)",
        "pass",
        ACCEPTED,
    ),
    Mutation(
        "an accepted incarnation is expected elsewhere",
        positions,
        "skip",
        "await connection.execute(_AWAIT, *key, *labels, RETENTION)",
        "pass",
        ACCEPTED,
    ),
    Mutation(
        "events older than the retention are skipped",
        InboxFeed,
        "_read",
        "new.floor is not None and recorded.recorded_at < new.floor",
        "False",
        ACCEPTED,
    ),
    Mutation(
        "parking has a limit",
        InboxFeed,
        "_store",
        "await inbox.count_unreadable(connection, name) > MAX_UNREADABLE",
        "False",
        subscription.test_a_reaction_with_too_many_unreadable_records_stops,
    ),
)

OF_CHAINS: Final = (
    Mutation(
        "a missing number is a gap",
        dedup._Reader,
        "_continue",
        "link.prev_seq != chain.relay_seq",
        "False",
        GAP,
        "a record is missing",
    ),
    Mutation(
        "a missing start is a gap",
        dedup._Reader,
        "_begin",
        "link.prev_seq and not in_the_middle",
        "False",
        GAP,
        "the beginning is missing",
    ),
    Mutation(
        "a number is accepted once",
        dedup._Reader,
        "_continue",
        "link.relay_seq <= chain.relay_seq",
        "False",
        NEW,
        "a page sent twice",
    ),
    Mutation(
        "records before the start are ignored",
        dedup._Reader,
        "_begin",
        "record.offset < position.began_at",
        "False",
        NEW,
        "records before the start",
    ),
    Mutation(
        "another incarnation is a gap",
        dedup._Reader,
        "read",
        "chain.incarnation != link.incarnation",
        "False",
        GAP,
        "a log that was restored, whose numbers were used before",
    ),
    Mutation(
        "a retired incarnation cannot continue",
        dedup._Reader,
        "read",
        "(chain.retired and fresh)",
        "False",
        GAP,
        "a retired incarnation that continues",
    ),
    Mutation(
        "a new incarnation retires the previous one",
        dedup._Reader,
        "_continue",
        "if chain.awaited:",
        "if False:",
        NEW,
        "an incarnation that a person accepted in another partition",
    ),
)


@pytest.fixture
async def harness(pool: asyncpg.Pool) -> ReactionHarness:
    """A new harness without a broker."""
    return await open_harness_without_broker(pool)


@pytest.mark.parametrize("mutation", [*OF_INBOX, *OF_POSITIONS], ids=lambda one: one.guard)
async def test_without_the_guard_a_test_on_the_database_fails(
    harness: ReactionHarness, mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation.apply(monkeypatch)
    if isinstance(statement := getattr(mutation.where, mutation.name), str):
        # The guard is missing, not a statement that Postgres understands.
        async with harness.lab.pool.acquire() as connection:
            await connection.prepare(statement)
    fixtures = {"harness": harness, "monkeypatch": monkeypatch}
    wanted = inspect.signature(mutation.misses).parameters
    given = {name: value for name, value in fixtures.items() if name in wanted}
    with pytest.raises((AssertionError, Failed)):
        await mutation.misses(**given, **mutation.arguments())


@pytest.mark.parametrize("mutation", OF_CHAINS, ids=lambda one: one.guard)
def test_without_the_guard_a_test_of_sequence_numbers_fails(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation.apply(monkeypatch)
    with pytest.raises(AssertionError):
        mutation.misses(**mutation.arguments())


def test_a_mutation_of_missing_code_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for where, name in ((inbox, "_CLAIM"), (InboxWorker, "react")):
        with pytest.raises(AssertionError, match="stands 0 times"):
            Mutation("none", where, name, "nowhere", "", IN_ORDER).apply(monkeypatch)
