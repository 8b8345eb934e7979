"""Requests to set many prices at once."""

from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator

from services.shop.context import Id, Shop
from services.shop.products.api.product import VISIBLE, Authored, Price
from services.shop.products.prices import handlers
from services.shop.products.prices.domain import NewPrice

router = APIRouter(prefix="/api/products", tags=["products"])


class PriceIn(BaseModel):
    """The price in tenge of the product with this `id` or `article`."""

    product_id: Id | None = Field(default=None, alias="id")
    article: Id | None = None
    price: Price

    @model_validator(mode="after")
    def _names_a_product(self) -> Self:
        if (self.product_id is None) is (self.article is None):
            raise ValueError("give either id or article")
        return self


class UnknownProduct(BaseModel):
    """What names no product of the shop."""

    id: int | None = Field(validation_alias="product_id")
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
    wanted = [NewPrice(**one.model_dump()) for one in body]
    result = await handlers.set_prices(shop, wanted, metadata)
    return PricesOut.model_validate(result, from_attributes=True)
