"""Which read models the answers to writes wait for."""

from libs.testing.visible import awaited_models, writes_without_wait
from tests.services.shop.kit import ShopKit


async def test_writes_wait_for_read_models_that_exist(shop: ShopKit) -> None:
    known = {model.name for model in shop.projector.projections}

    assert awaited_models(shop.app) <= known


async def test_writes_of_the_warehouse_wait_until_they_are_visible(shop: ShopKit) -> None:
    immediate = writes_without_wait(shop.app)

    # A text that is parsed changes nothing, and categories are read from the log.
    assert {path for path in immediate if "/warehouse" in path} == set()
    assert {path for path in immediate if "/supplies" in path} == {
        "/api/supplies/parse",
        "/api/supplies/categories",
        "/api/supplies/categories/{category_id}",
    }
