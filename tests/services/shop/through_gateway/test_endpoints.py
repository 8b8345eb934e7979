"""Every endpoint of spec shop §4 answers through the gateway's door as the specification says."""

import pytest

from contracts.routes import published
from tests.services.shop.through_gateway.installation import Installation
from tests.services.shop.through_gateway.sending import send_all, shop_with_staff
from tests.services.shop.through_gateway.story import STORY

WEBSOCKET = "(websocket)"


def test_every_published_route_has_a_row() -> None:
    routes = {(one["method"], one["path"].rstrip("/")) for one in published("shop")}
    rows = {one.route for one in STORY} | {("GET", "/uploads/{}")}

    assert {one for one in routes if one[0] != WEBSOCKET} - rows == set()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("prefix", "other_slash"),
    [("", False), ("/shop", True)],
    ids=["as specified", "under the door's prefix with the other slash"],
)
async def test_every_endpoint_answers_as_specified(
    installation: Installation, prefix: str, *, other_slash: bool
) -> None:
    ids, members = await shop_with_staff(installation)

    wrong = await send_all(
        installation, members["admin"], ids, prefix=prefix, other_slash=other_slash
    )

    assert not wrong, "\n".join(wrong)
