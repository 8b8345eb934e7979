"""The parameters of a scenario, and its outcome."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from libs.testing.polling import PATIENCE_SECONDS
from tests.libs.messaging.history import History, anomalies_of

KINDS: Final = {
    "lost": "lost",
    "unseen": "lost",
    "misplaced": "lost",
    "doubled": "doubled",
    "phantom": "doubled",
    "order": "disordered",
    "versions": "disordered",
    "chain": "disordered",
}
"""The checker's words, and the column each of them counts in."""

AWAY_SECONDS: Final = 60.0
LATE: Final = "late: "
"""How a complaint begins that something took too long."""


class NeverStruck(Exception):
    """A fault did not come about, so that nothing was proven."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How often, from which seed, without which guarantees (see `patches`), how many seconds
    everything may stand still before it is judged as it is, and for how many a broker is away that
    is away for long."""

    rounds: int
    seed: int
    without: tuple[str, ...] = ()
    patience: float = PATIENCE_SECONDS
    away: float = AWAY_SECONDS


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What the checker found in a scenario's history. `complaints` is what only the scenario
    itself could see; `again` counts the records that stand in the topic more than once."""

    events: int = 0
    again: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    examples: Sequence[str] = field(default=())
    complaints: Sequence[str] = field(default=())

    @property
    def late(self) -> int:
        """How often something took too long."""
        return sum(one.startswith(LATE) for one in self.complaints)

    @property
    def clean(self) -> bool:
        """Whether everything that was promised was kept."""
        return not (self.lost or self.doubled or self.disordered or self.complaints)


def judge(history: History, complaints: Sequence[str] = ()) -> Outcome:
    """Hold a history against itself."""
    numbers = {dict(record.headers)["relay_seq"] for record in history.topic}
    again = len(history.topic) - len(numbers)
    return outcome_of(anomalies_of(history), len(history.logged), complaints, again=again)


def outcome_of(
    found: Sequence[str],
    events: int,
    complaints: Sequence[str],
    *,
    again: int = 0,
    unread: int = 0,
) -> Outcome:
    """Count what the checker found; `unread` events are lost beside."""
    count = Counter(KINDS[one.partition(":")[0]] for one in found)
    return Outcome(
        events=events,
        again=again,
        lost=count["lost"] + unread,
        doubled=count["doubled"],
        disordered=count["disordered"],
        examples=found[:5],
        complaints=tuple(complaints),
    )
