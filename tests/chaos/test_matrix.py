"""The fault matrix in short, and every guarantee switched off is missed; `make chaos` is long."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import pytest

from libs.failpoints import POINTS
from tests.chaos.patches import PATCHES
from tests.chaos.plan import Outcome, Plan
from tests.chaos.run import MUTATION_PLAYS, play_fault, play_mutation
from tests.chaos.scenarios import FAULTS, KILLS, MUTATIONS, Fault, Mutation
from tests.chaos.servers import Servers, open_servers

CLEAN: Final = Outcome(events=945)
FOUND: Final = Outcome(events=945, disordered=1)
SHORT = [fault for fault in FAULTS if fault.short]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Postgres and Kafka that no other test stands on, because they are killed."""
    home = Path(tempfile.mkdtemp(prefix="tillstream-chaos-"))
    with open_servers(home, hurried=True) as opened:
        yield opened
    shutil.rmtree(home)


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.parametrize("fault", SHORT, ids=lambda fault: fault.name)
async def test_nothing_is_lost_doubled_or_disordered(servers: Servers, fault: Fault) -> None:
    seed = random.randrange(1_000_000)

    line = await play_fault(servers, fault, rounds=fault.short, seed=seed)

    assert line.good, line
    assert line.outcome.events


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
async def test_without_it_the_checker_finds_what_the_guarantee_prevents(
    servers: Servers, mutation: Mutation
) -> None:
    line = await play_mutation(servers, mutation, seed=1)

    assert line.good, line


@pytest.mark.parametrize(
    ("outcomes", "seeds", "good"),
    [
        ([CLEAN, FOUND], [7, 8], True),
        ([CLEAN] * MUTATION_PLAYS, [*range(7, 7 + MUTATION_PLAYS)], False),
        ([Outcome(complaints=("no client came up",)), FOUND], [7], False),
    ],
    ids=["found in the second play", "never found", "a play that went wrong"],
)
async def test_a_mutation_is_played_until_it_is_found_or_a_play_goes_wrong(
    outcomes: list[Outcome], seeds: list[int], good: bool
) -> None:
    played = []

    async def play(_: Servers, plan: Plan) -> Outcome:
        played.append(plan.seed)
        return outcomes[len(played) - 1]

    mutation = Mutation("versions not compared", play, ("versions",), 4, "disordered")
    line = await play_mutation(cast(Servers, None), mutation, seed=7)

    assert (line.good, played) == (good, seeds)


def test_every_fail_point_has_its_kill() -> None:
    for often in ("long", "short"):
        struck = [
            point
            for fault in KILLS
            if getattr(fault, often)
            for point in fault.play.keywords["points"]  # type: ignore[attr-defined]
        ]
        assert sorted(struck) == sorted(POINTS)


def test_every_name_is_of_one_fault() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_every_mutation_is_in_the_matrix_with_the_guarantee_on(mutation: Mutation) -> None:
    plays = [fault.play for fault in FAULTS if not set(mutation.without) <= set(fault.without)]

    assert any(_same(play, mutation.play) for play in plays)


def _same(one: object, other: object) -> bool:
    return one == other or (
        getattr(one, "func", one) == getattr(other, "func", other)
        and getattr(one, "keywords", one) == getattr(other, "keywords", other)
    )


def test_only_what_can_be_switched_off_is_switched_off() -> None:
    switched_off = [*(one.without for one in FAULTS), *(one.without for one in MUTATIONS)]

    assert {name for without in switched_off for name in without} <= PATCHES.keys()
