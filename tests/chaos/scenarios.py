"""The fault matrix: every fault, how often it strikes in short and in long, and who plays it."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from libs.failpoints import POINTS
from tests.chaos import (
    gaps,
    processes,
    reactions,
    readers,
    restored,
    silence,
    stuck,
    surroundings,
    tails,
    transactions,
)
from tests.chaos.arena import Play


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    play: Play
    short: int
    long: int
    without: tuple[str, ...] = ()


_CLIENTS: Final = tuple(p for p in POINTS if p.startswith(("log-", "group-")))
_PROJECTOR: Final = tuple(p for p in POINTS if p.startswith("batch-"))
_READER: Final = tuple(p for p in POINTS if p.startswith("inbox-"))
_REACTOR: Final = tuple(p for p in POINTS if p.startswith("reaction-"))
_IDLE: Final = ("relay-confirming", "relay-confirmed")
_RELAY: Final = tuple(
    p for p in POINTS if p not in _CLIENTS + _PROJECTOR + _READER + _REACTOR + _IDLE
)
_KILLERS: Final = {
    "clients": (processes.kill_clients, _CLIENTS),
    "relay": (processes.kill_relay, _RELAY),
    "idle relay": (processes.kill_idle_relay, _IDLE),
    "projector": (processes.kill_projector, _PROJECTOR),
    "reader of another service": (readers.kill_reader, _READER),
    "reactor": (reactions.kill_reactor, _REACTOR),
}

KILLS: Final = (
    # In long each place for itself, in short one after the other.
    *(
        Fault(f"SIGKILL at {point}", partial(kill, points=(point,)), 0, 50)
        for kill, points in _KILLERS.values()
        for point in points
    ),
    *(
        Fault(f"SIGKILL everywhere in the {who}", partial(kill, points=points), len(points), 0)
        for who, (kill, points) in _KILLERS.items()
    ),
)

FAULTS: Final = (
    Fault("three transactions in every order", processes.interleavings, 150, 2000),
    *KILLS,
    Fault(
        "two runners of three shards die everywhere",
        partial(processes.kill_both_of_shards, points=_PROJECTOR),
        4,
        50,
    ),
    Fault("a stopped runner comes back", processes.zombie, 1, 30),
    Fault("the same, and none asks for the lock", processes.zombie, 1, 20, ("follower lock",)),
    Fault("clients stopped before they append", processes.zombie_clients, 1, 20),
    Fault("a stopped relay comes back", processes.zombie_relay, 1, 30),
    Fault("two relays that both lead", processes.both_lead, 1, 50),
    Fault("the leading relay loses its lock", processes.leader_cut, 1, 50),
    *(
        Fault(f"broker: {name}", partial(surroundings.through_proxy, unkind=unkind), 1, long)
        for name, unkind, long in (
            ("connections dropped", surroundings.drop, 40),
            ("far away", surroundings.delay, 40),
            ("half-closed", surroundings.half_close, 40),
            ("answers lost", surroundings.deaf, 20),
        )
    ),
    Fault("broker stopped", partial(surroundings.broker_down, kill=False), 0, 5),
    Fault("broker killed", partial(surroundings.broker_down, kill=True), 1, 10),
    Fault("broker refuses big records", surroundings.oversize, 1, 20),
    Fault("database: connections cut", surroundings.backends_cut, 1, 50),
    Fault("database stopped", partial(surroundings.database_down, kill=False), 0, 20),
    Fault("database killed", partial(surroundings.database_down, kill=True), 1, 20),
    Fault("strangers idle in transactions", partial(surroundings.strangers, prepared=False), 1, 20),
    Fault("a prepared transaction left", partial(surroundings.strangers, prepared=True), 1, 20),
    Fault("transactions with many subtransactions", transactions.subtransactions, 2, 30),
    Fault("strangers' transactions open all the time", transactions.open_for_long, 15, 400),
    Fault("members come and go", processes.storm, 5, 150),
    Fault("a stopped reaction comes back", reactions.zombie_reactor, 0, 20),
    Fault("the same, and none hurries", reactions.zombie_reactor, 1, 20, ("claim deadline",)),
    Fault("a backlog of many pages", tails.backlog, 1, 20),
    Fault("a topic that lost its tail", tails.lost_tail, 2, 10),
    Fault("broker away for long", reactions.broker_away, 1, 10),
    Fault("records that are gone, and twice", gaps.gaps, 1, 15),
    Fault("the same, and ids alone tell them apart", gaps.gaps, 0, 5, ("record numbers",)),
    Fault("database restored from a backup", restored.restored, 1, 5),
    Fault("frozen with their locks", silence.frozen_leaders, 1, 20),
    Fault("broker silent", silence.broker_silent, 1, 5),
    Fault("database silent", silence.database_silent, 1, 10),
    Fault("events a read model fails on", stuck.cursed, 1, 40),
    Fault("a read model that is too slow", stuck.timing_out, 1, 6),
    Fault("rebuild and switch under load", surroundings.blue_green, 1, 20),
    Fault("clocks jump", surroundings.jumps, 1, 20),
)


@dataclass(frozen=True, slots=True)
class Mutation:
    """A guarantee switched off, the play that must fail then, and the column it fails in, or `late`
    if something comes too late."""

    name: str
    play: Play
    without: tuple[str, ...]
    rounds: int
    fails: str


MUTATIONS: Final = (
    Mutation(
        "no compare-and-set of batches", processes.zombie_relay, ("batch compare",), 3, "disordered"
    ),
    Mutation(
        "batches not saved before sending",
        partial(processes.kill_relay, points=("relay-flushed",)),
        ("batch saved first",),
        4,
        "disordered",
    ),
    Mutation(
        "position instead of snapshots",
        partial(surroundings.strangers, prepared=False),
        ("snapshot difference",),
        2,
        "lost",
    ),
    Mutation(
        "no compare-and-set of checkpoints",
        processes.zombie,
        ("follower lock", "checkpoint compare"),
        2,
        "doubled",
    ),
    Mutation(
        "read models follow by position",
        partial(surroundings.strangers, prepared=False),
        ("log by position",),
        2,
        "lost",
    ),
    Mutation(
        "claims not compared", reactions.zombie_reactor, ("claims", "claim deadline"), 1, "doubled"
    ),
    Mutation("incarnation not read", restored.restored, ("incarnation",), 1, "lost"),
    Mutation("silent leaders not missed", silence.frozen_leaders, ("idle limit",), 1, "late"),
    Mutation("gaps not seen", gaps.gaps, ("gap detection",), 1, "lost"),
    Mutation("gaps not seen in a topic cut off", tails.lost_tail, ("gap detection",), 1, "lost"),
    Mutation("repeats not seen", gaps.gaps, ("record numbers", "inbox ids"), 1, "doubled"),
    Mutation(
        "events under ids of subtransactions",
        transactions.subtransactions,
        ("top level ids",),
        2,
        "lost",
    ),
    Mutation(
        "a snapshot alone as checkpoint",
        partial(processes.kill_projector, points=("batch-committed",)),
        ("rest of difference",),
        6,
        "lost",
    ),
    Mutation(
        "a snapshot alone as batch",
        partial(processes.kill_relay, points=("relay-saved",)),
        ("rest of difference",),
        4,
        "lost",
    ),
    Mutation("read models rejoin as they are", stuck.timing_out, ("rejoin remainder",), 3, "lost"),
    Mutation("park order not held", stuck.cursed, ("park order",), 1, "doubled"),
    Mutation(
        "event ids not compared",
        partial(processes.kill_clients, points=("group-written",)),
        ("event ids",),
        3,
        "doubled",
    ),
    Mutation("versions not compared", processes.zombie_clients, ("versions",), 4, "disordered"),
)
"""A guarantee that stands on two fences is tried with the other one down; the matrix above shows
that each of those alone is enough."""
