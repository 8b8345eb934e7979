"""The table of the kinds of operations, and the sets that follow from it."""

from services.scale_bridge.transfer.domain.kinds import (
    ADOPTS,
    COMPARES,
    MAY_ADOPT,
    READS,
    SENDS,
)


def test_kinds_by_what_they_do() -> None:
    assert {"upload", "refresh"} == SENDS
    assert {"fetch", "verify"} == READS
    assert {"upload", "verify", "refresh"} == COMPARES
    assert {"fetch"} == ADOPTS
    assert {"fetch", "refresh"} == MAY_ADOPT
