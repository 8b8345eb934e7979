"""The outbox of a device: what it sends next, and what an answer means to it (spec §4).

Pure: time, network and storage are the caller's.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from deploy.demo.mischief import Event

BATCH: Final = 20
ATTEMPTS: Final = 3
RETRY_SECONDS: Final = 2.0
DEBOUNCE_SECONDS: Final = 1.0
TICK_SECONDS: Final = 10.0
TIMEOUT_SECONDS: Final = 10.0

AT_ONCE: Final = frozenset({"CLOSE", "CITY_CLOSE"})
DEBOUNCED: Final = frozenset({"ITEM"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Outbox:
    """Events by key. A row is never deleted, only marked as sent."""

    unsent: Mapping[str, Event] = field(default_factory=dict)
    sent: Mapping[str, Event] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back. `status` is None if nothing did, and `text` then says why."""

    status: int | None = None
    body: Mapping[str, object] = field(default_factory=dict)
    text: str = ""

    @property
    def accepts(self) -> bool:
        """The whole batch has arrived, whatever the counts say."""
        return self.status is not None and 200 <= self.status < 300 and bool(self.body.get("ok"))


class Verdict(Enum):
    """What a device does after an answer."""

    SENT = "sent"
    AGAIN = "again"
    """Try the same batch again after a pause."""
    LATER = "later"
    """Give up until the next trigger, which takes the same rows."""


def scan(outbox: Outbox, key: str, event: Event) -> Outbox:
    """Keep one more event to send."""
    return Outbox(unsent={**outbox.unsent, key: event}, sent=outbox.sent)


def next_batch(outbox: Outbox) -> dict[str, Event]:
    """At most 20 unsent rows in the order of their keys, which is no order of time."""
    return {key: outbox.unsent[key] for key in heapq.nsmallest(BATCH, outbox.unsent)}


def verdict(answer: Answer, *, attempt: int) -> Verdict:
    """What follows the `attempt`-th answer, counted from 1, to the same batch."""
    if answer.accepts:
        return Verdict.SENT
    hopeless = "401" in answer.text or "403" in answer.text
    return Verdict.LATER if hopeless or attempt >= ATTEMPTS else Verdict.AGAIN


def apply_response(outbox: Outbox, keys: Iterable[str], answer: Answer) -> Outbox:
    """Mark the rows of an accepted batch as sent; any other answer changes nothing."""
    if not answer.accepts:
        return outbox
    done = {key: outbox.unsent[key] for key in keys if key in outbox.unsent}
    left = {key: event for key, event in outbox.unsent.items() if key not in done}
    return Outbox(unsent=left, sent={**outbox.sent, **done})


def resend(outbox: Outbox) -> Outbox:
    """The button that has the whole day sent again."""
    return Outbox(unsent={**outbox.sent, **outbox.unsent})
