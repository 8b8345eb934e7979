"""In which order tests run.

With xdist every module stays on one worker (`--dist loadfile`), so that what its fixtures start is
started once. Modules that take long come first, so that none is left over at the end.
"""

from typing import Final

import pytest

LONG_FIRST: Final = (
    "tests/e2e",
    "tests/chaos",
    "tests/bench",
    "tests/deploy",
    "tests/libs/messaging",
    "tests/libs/http",
    "tests/services/scale_bridge/handlers",
    "tests/services/scale_bridge/api",
    "tests/services/gateway/api",
    "tests/services/ingest",
    "tests/services",
)


def schedule(items: list[pytest.Item]) -> None:
    """Sort the items by the rank of their module; within a module they keep their order."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> tuple[int, str]:
    module = item.nodeid.split("::")[0]
    place = (n for n, folder in enumerate(LONG_FIRST) if module.startswith(f"{folder}/"))
    return next(place, len(LONG_FIRST)), module
