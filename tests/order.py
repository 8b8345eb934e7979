"""In which order tests run.

With xdist every module stays on one worker, so that what its fixtures start is started once; the
end-to-end stories stay on one together, for they share a running platform. Modules that take long
come first, so that none is left over at the end.
"""

from typing import Any, Final

import pytest

TOGETHER: Final = ("tests/e2e",)

LONG_FIRST: Final = (
    "tests/e2e",
    "tests/chaos",
    "tests/bench",
    "tests/deploy",
    "tests/libs/messaging",
    "tests/libs/http",
    "tests/services/scale_bridge",
    "tests/services/gateway",
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


def scheduler(config: pytest.Config, log: Any) -> Any:
    """xdist's scheduling by file, but for the folders that stay together."""
    # Only where xdist runs: it is not needed for a single test.
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return next((one for one in TOGETHER if file.startswith(f"{one}/")), file)

    return ByFile(config, log)
