"""Rules that are relaxed for a scale are relaxed wherever it is read, and no others (R5)."""

from pathlib import Path

import pytest

from contracts.scale_bridge import DeviceId
from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.adapters.simulator.products import ProductBase
from services.scale_bridge.domain.catalogue import Document
from services.scale_bridge.domain.relaxation import RULES
from services.scale_bridge.handlers import device, profile
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.bridge_daemon import daemon, enrolled
from tests.services.scale_bridge.bridging import PASSWORD, House, standing


def doubled() -> Document:
    """A catalogue with two products of one PLU."""
    document = catalogue(3)
    document["products"][2]["pluNumber"] = 1
    return document


async def relax(house: House, device_id: DeviceId, *rules: str) -> None:
    found = await device.load(house.desk, house.tenant, device_id)
    await profile.relax(house.desk, found, rules, "old firmware", house.cause)


@pytest.mark.parametrize(
    ("faults", "base", "rule"),
    [
        (["nan"], catalogue(3), "finite_numbers"),
        (["badhash"], catalogue(3), "hash"),
        ([], doubled(), "unique_plus"),
    ],
    ids=["nan", "badhash", "dupplu"],
)
async def test_the_daemon_relaxes_what_the_service_does(
    database: str, tmp_path: Path, faults: list[str], base: Document, rule: str
) -> None:
    opened = a_scale(0, *faults, base=ProductBase(base), password=PASSWORD)
    async with standing(database) as house, opened as scale:
        enrolled(tmp_path, house.url)
        device_id = await house.device(scale)
        async with daemon(tmp_path):
            strict = await house.done(device_id, "fetch")
            await relax(house, device_id, *(name for name in RULES if name != rule))
            others = await house.done(device_id, "fetch")
            await relax(house, device_id, rule)
            relaxed = await house.done(device_id, "fetch")

        assert [(one.outcome, one.code) for one in (strict, others, relaxed)] == [
            ("failed", "BadCatalogue"),
            ("failed", "BadCatalogue"),
            ("done", ""),
        ]
        document = (await house.copy(device_id)).document
        assert document is not None
        assert len(document["products"]) == 3
