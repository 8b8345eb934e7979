"""Running the matrix, one fault after the other, to its end or until it is stopped."""

import asyncio
from collections.abc import Awaitable, Callable
from math import ceil
from time import monotonic
from typing import Final, TypeAlias, TypeVar

from tests.chaos.arena import Play
from tests.chaos.plan import AWAY_SECONDS, NeverStruck, Outcome, Plan
from tests.chaos.report import Line, Report
from tests.chaos.scenarios import FAULTS, MUTATIONS, Fault, Mutation
from tests.chaos.servers import Servers

T = TypeVar("T")
Ended: TypeAlias = Callable[[Line], None]


class BrokenOff(Exception):
    """A stop was requested before the end."""


KILL_ROUNDS: Final = 50
"""What the numbers of rounds in the table of faults are meant for."""
MUTATION_PATIENCE: Final = 1.5
MUTATION_PLAYS: Final = 6
"""How often a mutation is played at most: one play may happen not to need the guarantee."""


async def play_fault(
    servers: Servers, fault: Fault, *, rounds: int, seed: int, away: float = AWAY_SECONDS
) -> Line:
    """Play one fault. What goes wrong in the play itself is in the line's complaints."""
    plan = Plan(rounds=rounds, seed=seed, without=fault.without, away=away)
    return await _played(servers, fault.name, fault.play, plan)


async def play_mutation(servers: Servers, mutation: Mutation, *, seed: int) -> Line:
    """Play a mutation until the checker finds what it does, or a play itself goes wrong.

    Every play has a seed of its own, from `seed` on; the line is the last one's.
    """
    lines = [await _play_once(servers, mutation, seed=seed)]
    while len(lines) < MUTATION_PLAYS and not (lines[-1].good or lines[-1].outcome.complaints):
        lines.append(await _play_once(servers, mutation, seed=seed + len(lines)))
    return lines[-1]


async def _play_once(servers: Servers, mutation: Mutation, *, seed: int) -> Line:
    plan = Plan(
        rounds=mutation.rounds, seed=seed, without=mutation.without, patience=MUTATION_PATIENCE
    )
    return await _played(servers, mutation.name, mutation.play, plan, fails=mutation.fails)


async def _played(
    servers: Servers, name: str, play: Play, plan: Plan, *, fails: str | None = None
) -> Line:
    began = monotonic()
    try:
        outcome = await play(servers, plan)
    except NeverStruck as error:
        outcome = Outcome(complaints=(str(error),))
    except Exception as error:  # noqa: BLE001 -- one fault must not hide what the others find
        outcome = Outcome(complaints=(f"{type(error).__name__}: {error}",))
    seconds = monotonic() - began
    rounds, seed = plan.rounds, plan.seed
    return Line(name=name, rounds=rounds, seed=seed, seconds=seconds, outcome=outcome, fails=fails)


async def play(
    servers: Servers, *, rounds: int, seed: int, only: str, away: float, ended: Ended
) -> Report:
    """Everything whose name holds `only`; `rounds` are a kill's, the others' in proportion."""
    start = monotonic()
    faults: list[Line] = []
    mutations: list[Line] = []
    for fault in FAULTS:
        if only in fault.name and (count := ceil(fault.long * rounds / KILL_ROUNDS)):
            faults.append(await play_fault(servers, fault, rounds=count, seed=seed, away=away))
            ended(faults[-1])
    for mutation in MUTATIONS:
        if only in mutation.name:
            mutations.append(await play_mutation(servers, mutation, seed=seed))
            ended(mutations[-1])
    return Report(seed=seed, seconds=monotonic() - start, faults=faults, mutations=mutations)


async def unless(stopping: Callable[[], bool], doing: Awaitable[T]) -> T:
    """Do it, and break it off cleanly once `stopping` says so: then raises BrokenOff."""
    task = asyncio.ensure_future(doing)
    while not task.done():
        if stopping() and not task.cancelling():
            task.cancel()
        await asyncio.wait([task], timeout=0.1)
    if task.cancelled() and stopping():
        raise BrokenOff
    return task.result()
