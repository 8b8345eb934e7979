"""Whatever is killed during the day, what was sent and what is displayed agree in the end.

The day is the demo's own, in a process of its own; the test only reads `runtime.json` and kills.
"""

import asyncio
import tempfile
from pathlib import Path

import pytest

from tests.e2e.house import open_site

SPLIT = (
    *("scale_bridge-worker", "scale_bridge-api", "ingest-api", "ingest-worker"),
    *("shop-api", "shop-worker", "gateway-api", "gateway-worker"),
    *("preload", "kafka", "postgres", "fleet"),
)
WHOLE = ("scale_bridge", "ingest", "shop", "gateway", "preload", "postgres", "kafka")


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    # A day must last until the last of them is back.
    ("split", "names", "speed"),
    [("1", SPLIT, "300"), ("", WHOLE, "700")],
    ids=["split", "whole"],
)
async def test_the_numbers_agree_although_every_process_was_killed_once(
    split: str, names: tuple[str, ...], speed: str
) -> None:
    # Not below pytest's folder: another run closes that to the database's user.
    with (
        tempfile.TemporaryDirectory(prefix="tillstream-kill-") as home,
        open_site(Path(home), "deploy.demo", SPLIT=split, SPEED=speed, ONCE="1") as demo,
    ):
        await demo.eventually(lambda: "scanning" in demo.output, "the day began")
        for name in names:
            await demo.kill(name)
            await asyncio.sleep(1)  # let the day go on for a while between two blows
        status = await demo.end()

        assert status == 0, demo.output
        assert "agree in all" in demo.output
