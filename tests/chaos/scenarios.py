"""The fault matrix: every fault, how often it strikes in short and in long, and who plays it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from libs.failpoints import POINTS
from tests.chaos import broker, clocks, database, editions, group, interleavings, kills, rivals
from tests.chaos.plan import Outcome, Plan
from tests.chaos.servers import Servers

Play: TypeAlias = Callable[[Servers, Plan], Awaitable[Outcome]]
"""Raises NeverStruck if the fault did not come about or nothing went on after it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of the matrix."""

    name: str
    play: Play
    short: int
    long: int
    without: tuple[str, ...] = ()


_CLIENTS: Final = tuple(p for p in POINTS if p.startswith(("log-", "group-")))
_PROJECTOR: Final = tuple(p for p in POINTS if p.startswith(("batch-", "offset-")))
_RELAY: Final = tuple(p for p in POINTS if p not in _CLIENTS + _PROJECTOR)
_KILLERS: Final = {
    "clients": (kills.kill_clients, _CLIENTS),
    "relay": (kills.kill_relay, _RELAY),
    "projector": (kills.kill_projector, _PROJECTOR),
}

KILLS: Final = (
    # In long each place for itself, in short one after the other.
    *(
        Fault(f"SIGKILL at {point}", partial(kill, points=(point,)), 0, 50)
        for kill, points in _KILLERS.values()
        for point in points
    ),
    *(
        Fault(f"SIGKILL everywhere in the {who}", partial(kill, points=points), 3 * len(points), 0)
        for who, (kill, points) in _KILLERS.items()
    ),
)

FAULTS: Final = (
    Fault("three transactions in every order", interleavings.interleavings, 150, 2000),
    *KILLS,
    Fault("a stopped projector comes back", rivals.zombie, 2, 30),
    Fault("the same, and nobody waits for locks", rivals.zombie, 1, 20, ("checkpoint lock",)),
    Fault("clients stopped before they append", rivals.zombie_clients, 1, 20),
    Fault("a stopped relay comes back", rivals.zombie_relay, 2, 30),
    Fault("two relays that both lead", rivals.both_lead, 2, 50),
    Fault("the leading relay loses its lock", rivals.leader_cut, 3, 50),
    Fault("broker: connections dropped", partial(broker.through_proxy, unkind=broker.drop), 2, 40),
    Fault("broker: far away", partial(broker.through_proxy, unkind=broker.delay), 1, 40),
    Fault("broker: half-closed", partial(broker.through_proxy, unkind=broker.half_close), 2, 40),
    Fault("broker: answers lost", partial(broker.through_proxy, unkind=broker.deaf), 1, 20),
    Fault("broker stopped", partial(broker.broker_down, kill=False), 0, 5),
    Fault("broker killed", partial(broker.broker_down, kill=True), 1, 10),
    Fault("broker refuses big records", broker.oversize, 1, 20),
    Fault("database: connections cut", database.backends_cut, 3, 50),
    Fault("database stopped", partial(database.database_down, kill=False), 0, 20),
    Fault("database killed", partial(database.database_down, kill=True), 1, 20),
    Fault("strangers idle in transactions", partial(database.strangers, prepared=False), 1, 20),
    Fault("a prepared transaction left", partial(database.strangers, prepared=True), 1, 20),
    Fault("members come and go", group.storm, 5, 150),
    Fault("Kafka's offsets mislead", group.misled, 1, 20),
    Fault("the same, and the chain unread", group.misled, 0, 20, ("chain",)),
    Fault("rebuild and switch under load", editions.blue_green, 2, 20),
    Fault("clocks jump", clocks.jumps, 2, 20),
)


@dataclass(frozen=True, slots=True)
class Mutation:
    """A guarantee switched off, the play that must fail then, and the column it fails in."""

    name: str
    play: Play
    without: tuple[str, ...]
    rounds: int
    fails: str


MUTATIONS: Final = (
    Mutation(
        "no compare-and-set of ticks", rivals.zombie_relay, ("tick compare",), 3, "disordered"
    ),
    Mutation(
        "ticks not saved before sending",
        partial(kills.kill_relay, points=("page-flushed",)),
        ("tick saved first",),
        4,
        "disordered",
    ),
    Mutation(
        "position instead of snapshots",
        partial(database.strangers, prepared=False),
        ("snapshot difference",),
        2,
        "lost",
    ),
    Mutation(
        "no compare-and-set of checkpoints",
        rivals.zombie,
        ("checkpoint lock", "checkpoint compare"),
        2,
        "doubled",
    ),
    Mutation("no pause before the seek", group.misled, ("chain", "pause first"), 1, "lost"),
    Mutation(
        "event ids not compared",
        partial(kills.kill_clients, points=("group-written",)),
        ("event ids",),
        3,
        "doubled",
    ),
    Mutation("versions not compared", rivals.zombie_clients, ("versions",), 4, "disordered"),
)
"""A guarantee that stands on two fences is tried with the other one down; the matrix above shows
that each of those alone is enough."""
