"""Requests about the products of a shop (spec shop §4.3)."""

import re
from typing import Annotated, Final, Literal, Self

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from contracts.shop import ProductDetails
from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal
from libs.http.metadata import metadata_of
from libs.http.paging import Page, Slice, by_skip
from libs.http.visible import visible
from services.shop.context import (
    MOST_TENGE,
    ORDERS,
    WAREHOUSE,
    ApiContext,
    Id,
    PathId,
    PlainText,
    Shop,
    Tenge,
    changes_of,
)
from services.shop.products import handlers, read_models
from services.shop.products.api.presenters import (
    ProductOut,
    ProductWithSales,
    present,
    present_with_sales,
)
from services.shop.products.domain import ChangeProduct, Product, SetImages, ToggleActive

router = APIRouter(prefix="/api/products", tags=["products"])

Reader = Annotated[Principal, Depends(ORDERS)]
"""All staff read products; those with the permission `warehouse` change them."""
Authored = Annotated[Metadata, metadata_of(WAREHOUSE)]
VISIBLE: Final = visible("product")
Name = Annotated[PlainText, Field(min_length=1, max_length=200)]
LongText = Annotated[PlainText, Field(max_length=5000)]
Category = Literal["bouquet", "composition", "potted", "other"]
Price = Annotated[Tenge, Field(gt=0)]
Bound = Annotated[float, Query(ge=0, le=MOST_TENGE)]

_URL: Final = re.compile(r"(https?://|blob:|/(?!/))[^\s\\<>\"'\x00-\x1f]*")


def _inert(url: str) -> str:
    # Pages show these texts as addresses: none may be a program, such as `javascript:…`.
    if not _URL.fullmatch(url):
        raise ValueError("must be an address of the web, of this site, or blob:")
    return url


Url = Annotated[str, Field(max_length=2048), AfterValidator(_inert)]


class ProductExtras(BaseModel):
    """What a product may lack; amounts in tenge. `article` is its code on scales and kiosks."""

    description: LongText | None = None
    image_url: Annotated[Url | None, BeforeValidator(lambda given: given or None)] = None
    sale_price: Price | None = None
    article: Id | None = None


class ProductCreate(ProductExtras):
    """A new product."""

    name: Name
    category: Category
    cost_price: Tenge
    retail_price: Price
    is_active: bool = True
    is_popular: bool = False
    is_new: bool = False


class ProductUpdate(ProductExtras):
    """The fields to change: absent ones stay, as do those without a value that need one."""

    name: Name | None = None
    category: Category | None = None
    cost_price: Tenge | None = None
    retail_price: Price | None = None
    is_active: bool | None = None
    is_popular: bool | None = None
    is_new: bool | None = None


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


async def existing(shop: ApiContext, caller: Principal, product_id: int) -> Product:
    """A product of the caller's shop. Raises ProductUnknown, Unavailable."""
    product = await read_models.PRODUCTS.find(shop.reading, caller.tenant, product_id)
    _ = product.present
    return product


class ProductQuery(BaseModel):
    """Which products are listed; all conditions must hold."""

    category: Category | None = None
    search: Annotated[PlainText, Field(max_length=200)] | None = None
    is_popular: bool | None = None
    is_new: bool | None = None
    min_price: Bound | None = None
    max_price: Bound | None = None
    on_sale: bool | None = None
    include_inactive: bool = False


@router.get("/")
async def list_products(
    shop: Shop,
    caller: Reader,
    part: Annotated[Slice, by_skip(limit=100, most=1000)],
    query: Annotated[ProductQuery, Query()],
) -> Page[ProductOut]:
    """The products on sale, by number; with `include_inactive` also those that are not."""
    values = query.model_dump() | {"is_active": None if query.include_inactive else True}
    items, total = await read_models.page(shop.reading, caller.tenant, values, part)
    return Page(items=[present(product) for product in items], total=total)


@router.post("/", status_code=201, dependencies=[VISIBLE])
async def create(shop: Shop, metadata: Authored, body: ProductCreate) -> ProductOut:
    """Add a product."""
    return present(await handlers.add(shop, ProductDetails(**body.model_dump()), metadata))


@router.get("/{product_id}")
async def read(shop: Shop, caller: Reader, product_id: PathId) -> ProductWithSales:
    """A product, and how often it was ordered."""
    product = await existing(shop, caller, product_id)
    sales = await shop.hooks.product_sales(shop.reading, caller.tenant, product_id)
    return present_with_sales(product, sales)


@router.put("/{product_id}", dependencies=[VISIBLE])
async def update(
    shop: Shop, metadata: Authored, product_id: PathId, body: ProductUpdate
) -> ProductOut:
    """Change the given fields of a product."""
    change = ChangeProduct(changes_of(body, *ProductExtras.model_fields))
    return present(await handlers.change(shop, product_id, change, metadata))


@router.post("/{product_id}/toggle-active", status_code=201, dependencies=[VISIBLE])
async def toggle_active(shop: Shop, metadata: Authored, product_id: PathId) -> ProductOut:
    """Take a product off sale, or put it back."""
    return present(await handlers.change(shop, product_id, ToggleActive(), metadata))


@router.put("/{product_id}/images", dependencies=[VISIBLE])
async def set_images(
    shop: Shop,
    metadata: Authored,
    product_id: PathId,
    body: Annotated[list[Url], Field(max_length=50)],
) -> ProductOut:
    """Replace the images of a product; the first is the primary one."""
    return present(await handlers.change(shop, product_id, SetImages(tuple(body)), metadata))


@router.delete("/{product_id}", dependencies=[VISIBLE])
async def delete(shop: Shop, metadata: Authored, product_id: PathId) -> ProductOut:
    """Remove a product from the catalogue. What was ordered of it stays in the orders."""
    return present(await handlers.remove(shop, product_id, metadata))


@router.post("/prices", dependencies=[VISIBLE])
async def set_prices(
    shop: Shop,
    metadata: Authored,
    body: Annotated[list[PriceIn], Field(min_length=1, max_length=10_000)],
) -> PricesOut:
    """Set the usual prices of products. A sale that is no longer cheaper ends. Safe to repeat."""
    wanted = [handlers.NewPrice(**one.model_dump()) for one in body]
    result = await handlers.set_prices(shop, wanted, metadata)
    return PricesOut.model_validate(result, from_attributes=True)
