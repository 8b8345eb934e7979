"""Questions about the stock."""

from collections.abc import Sequence

from contracts.shop import ShopEvent
from libs.projections.projection import Projection
from services.shop.stock.read_models import item, movement, receipt
from services.shop.stock.read_models.item import stocked_items

__all__ = ["projections", "stocked_items"]


def projections() -> Sequence[Projection[ShopEvent]]:
    """The projections of the stock."""
    return item.projection(), movement.projection(), receipt.projection()
