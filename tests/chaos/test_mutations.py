"""Every guarantee, switched off, is missed: the plays of the matrix can fail."""

import pytest

from tests.chaos.patches import PATCHES
from tests.chaos.run import play_mutation
from tests.chaos.scenarios import FAULTS, MUTATIONS, Mutation
from tests.chaos.servers import Servers


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
async def test_without_it_the_checker_finds_what_the_guarantee_prevents(
    servers: Servers, mutation: Mutation
) -> None:
    line = await play_mutation(servers, mutation, seed=1)

    assert line.good, line


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_same_play_is_in_the_matrix_with_the_guarantee_on(mutation: Mutation) -> None:
    plays = [fault.play for fault in FAULTS if not set(mutation.without) <= set(fault.without)]

    assert any(_same(play, mutation.play) for play in plays)


def _same(one: object, other: object) -> bool:
    return one == other or (
        getattr(one, "func", one) == getattr(other, "func", other)
        and getattr(one, "keywords", one) == getattr(other, "keywords", other)
    )


def test_only_what_can_be_switched_off_is_switched_off() -> None:
    switched_off = [*(one.without for one in FAULTS), *(one.without for one in MUTATIONS)]
    named = {name for without in switched_off for name in without}

    assert named <= PATCHES.keys()
