"""Requests about the products of a shop (spec shop §4.3)."""

import math
import re
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import AfterValidator, BaseModel, Field

from contracts.shop import ProductDetails
from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal
from libs.http.metadata import metadata_of
from libs.http.paging import Slice, by_skip
from libs.http.visible import visible
from services.shop.context import MOST_TENGE, ORDERS, WAREHOUSE, Shop, Tenge
from services.shop.products import handlers, read_models
from services.shop.products.api.presenters import (
    ProductOut,
    Products,
    ProductWithSales,
    present,
    present_with_sales,
)
from services.shop.products.domain import ChangeProduct, Sales, SetImages, ToggleActive

router = APIRouter(prefix="/api/products", tags=["products"])

Reader = Annotated[Principal, Depends(ORDERS)]
"""All staff read products; those with the permission `warehouse` change them."""
Authored = Annotated[Metadata, metadata_of(WAREHOUSE)]
VISIBLE: Final = visible("product")
MOST: Final = 2**53
Id = Annotated[int, Field(ge=1, le=MOST)]
ProductId = Annotated[int, Path(ge=1, le=MOST)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
LongText = Annotated[str, Field(max_length=5000, pattern=r"^[^\x00]*$")]
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


class ProductCreate(BaseModel):
    """A new product; amounts in tenge. `article` is its code on scales and kiosks."""

    name: Name
    category: Category
    description: LongText | None = None
    image_url: Url | Literal[""] | None = None
    cost_price: Tenge
    retail_price: Price
    sale_price: Price | None = None
    is_active: bool = True
    is_popular: bool = False
    is_new: bool = False
    article: Id | None = None


class ProductUpdate(BaseModel):
    """The fields to change: absent ones stay, as do those without a value that need one."""

    name: Name | None = None
    category: Category | None = None
    description: LongText | None = None
    image_url: Url | Literal[""] | None = None
    cost_price: Tenge | None = None
    retail_price: Price | None = None
    sale_price: Price | None = None
    is_active: bool | None = None
    is_popular: bool | None = None
    is_new: bool | None = None
    article: Id | None = None

    def changes(self) -> dict[str, Any]:
        """The changed fields, named as those of `ProductDetails`."""
        given = self.model_dump(exclude_unset=True)
        return {
            name: value or None if name == "image_url" else value
            for name, value in given.items()
            if value is not None or name in CLEARED
        }


CLEARED: Final = frozenset({"description", "image_url", "sale_price", "article"})
"""The fields that null removes."""


@router.get("/")
async def list_products(
    shop: Shop,
    caller: Reader,
    part: Annotated[Slice, by_skip(limit=100, most=1000)],
    category: Category | None = None,
    search: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
    is_popular: bool | None = None,
    is_new: bool | None = None,
    min_price: Bound | None = None,
    max_price: Bound | None = None,
    on_sale: bool | None = None,
    include_inactive: bool = False,
) -> Products:
    """The products on sale, by number; with `include_inactive` also those that are not."""
    values = {
        "category": category,
        "search": search or None,
        "is_popular": is_popular,
        "is_new": is_new,
        "min_price": None if min_price is None else math.ceil(min_price),
        "max_price": None if max_price is None else math.floor(max_price),
        "on_sale": on_sale,
        "is_active": None if include_inactive else True,
    }
    items, total = await read_models.page(shop.reading, caller.tenant, values, part)
    return Products(items=[present(product) for product in items], total=total)


@router.post("/", status_code=201, dependencies=[VISIBLE])
async def create(shop: Shop, metadata: Authored, body: ProductCreate) -> ProductOut:
    """Add a product."""
    details = ProductDetails(**body.model_dump() | {"image_url": body.image_url or None})
    return present(await handlers.add(shop, details, metadata))


@router.get("/{product_id}")
async def read(shop: Shop, caller: Reader, product_id: ProductId) -> ProductWithSales:
    """A product, and how often it was ordered."""
    product = await read_models.find(shop.reading, caller.tenant, product_id)
    sales_of = shop.hooks.product_sales
    sales = await sales_of(shop.reading, caller.tenant, product_id) if sales_of else Sales()
    return present_with_sales(product, sales)


@router.put("/{product_id}", dependencies=[VISIBLE])
async def update(
    shop: Shop, metadata: Authored, product_id: ProductId, body: ProductUpdate
) -> ProductOut:
    """Change the given fields of a product."""
    change = ChangeProduct(body.changes())
    return present(await handlers.change(shop, product_id, change, metadata))


@router.post("/{product_id}/toggle-active", status_code=201, dependencies=[VISIBLE])
async def toggle_active(shop: Shop, metadata: Authored, product_id: ProductId) -> ProductOut:
    """Take a product off sale, or put it back."""
    return present(await handlers.change(shop, product_id, ToggleActive(), metadata))


@router.put("/{product_id}/images", dependencies=[VISIBLE])
async def set_images(
    shop: Shop,
    metadata: Authored,
    product_id: ProductId,
    body: Annotated[list[Url], Field(max_length=50)],
) -> ProductOut:
    """Replace the images of a product; the first is the primary one."""
    return present(await handlers.change(shop, product_id, SetImages(tuple(body)), metadata))


@router.delete("/{product_id}", dependencies=[VISIBLE])
async def delete(shop: Shop, metadata: Authored, product_id: ProductId) -> ProductOut:
    """Remove a product from the catalogue. What was ordered of it stays in the orders."""
    return present(await handlers.remove(shop, product_id, metadata))
