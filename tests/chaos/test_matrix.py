"""The fault matrix in short; `make chaos` plays it in long."""

import random

import pytest

from libs.failpoints import POINTS
from tests.chaos.run import play_fault
from tests.chaos.scenarios import FAULTS, KILLS, Fault
from tests.chaos.servers import Servers

SHORT = [fault for fault in FAULTS if fault.short]


@pytest.mark.slow
@pytest.mark.parametrize("fault", SHORT, ids=lambda fault: fault.name)
async def test_nothing_is_lost_doubled_or_disordered(servers: Servers, fault: Fault) -> None:
    seed = random.randrange(1_000_000)

    line = await play_fault(servers, fault, rounds=fault.short, seed=seed)

    assert line.good, line
    assert line.outcome.events


def test_every_fail_point_has_its_kill() -> None:
    for often in ("long", "short"):
        struck = [
            point
            for fault in KILLS
            if getattr(fault, often)
            for point in fault.play.keywords["points"]  # type: ignore[attr-defined]
        ]
        assert sorted(struck) == sorted(POINTS)


def test_every_name_says_one_fault() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
