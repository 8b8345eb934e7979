"""Requests to set many prices at once."""

from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator

from services.shop.context import Shop
from services.shop.products.api.product import VISIBLE, Authored, Id, Price
from services.shop.products.prices import handlers
from services.shop.products.prices.domain import NewPrice

router = APIRouter(prefix="/api/products", tags=["products"])


class PriceIn(BaseModel):
    """The price in tenge of a product by its `id`, or of all products with an `article`."""

    id: Id | None = None
    article: Id | None = None
    price: Price

    @model_validator(mode="after")
    def _names_a_product(self) -> Self:
        if (self.id is None) is (self.article is None):
            raise ValueError("give either id or article")
        return self


class UnknownProduct(BaseModel):
    """What names no product of the shop."""

    id: int | None
    article: int | None


class PricesOut(BaseModel):
    """How many products got another price, how many had it already, and what does not exist."""

    changed: int
    unchanged: int
    unknown: list[UnknownProduct]


@router.post("/prices", dependencies=[VISIBLE])
async def set_prices(
    shop: Shop,
    metadata: Authored,
    body: Annotated[list[PriceIn], Field(min_length=1, max_length=10_000)],
) -> PricesOut:
    """Set the usual prices of products. A sale that is no longer cheaper ends. Safe to repeat."""
    wanted = [NewPrice(price=one.price, product_id=one.id, article=one.article) for one in body]
    result = await handlers.set_prices(shop, wanted, metadata)
    return PricesOut(
        changed=result.changed,
        unchanged=result.unchanged,
        unknown=[UnknownProduct(id=one.product_id, article=one.article) for one in result.unknown],
    )
