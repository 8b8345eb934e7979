"""The service's own documentation is for those who look for mistakes (§1.1, 14)."""

import pytest

from services.scale_bridge.settings import Settings
from tests.services.scale_bridge.inside import inside

PEOPLES = ("/docs", "/redoc", "/openapi.json")


@pytest.mark.parametrize("debug", [False, True])
async def test_it_is_shown_to_people_only_while_they_look_for_mistakes(
    database: str, *, debug: bool
) -> None:
    async with inside(database, debug=debug) as made, made.nobody() as nobody:
        shown = [(await nobody.get(path)).status_code for path in PEOPLES]
        # What the gateway shows of it, within the door's rules, it always gets.
        document = (await nobody.get("/internal/openapi.json")).json()

    assert shown == [200 if debug else 404] * 3
    assert document["info"] == {"title": "Scales API", "version": "1.0.0"}
    assert "/devices/{device_id}/products/cached" in document["paths"]


def test_the_originals_variable_is_understood() -> None:
    assert Settings.SHARED["debug"] == "DEBUG"
