"""A shop, its products and categories, as everybody may read them (spec shop §4.9)."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel

from libs.errors import NotFound
from libs.http.auth import public
from libs.http.conditional import ETAG, not_modified, strong_tag
from libs.http.paging import Slice, by_skip
from services.shop.company import read_models as company
from services.shop.context import ApiContext, Shop, tenant_of
from services.shop.orders.handlers.order import STOREFRONT_FEE
from services.shop.products import read_models as products
from services.shop.products.api.product import Bound, Category
from services.shop.products.domain import Product, current_price
from services.shop.staff.adapters import Directory
from services.shop.stock.read_models import item as stock

router = APIRouter(prefix="/api/public", tags=["storefront"], dependencies=[Depends(public)])

CACHED: Final = {"Cache-Control": "public, max-age=30"}
MOST: Final = 2**31
MOST_PRODUCTS: Final = 5000
"""The products of which those in stock are picked."""
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CATEGORY_NAMES: Final = {
    "bouquet": "Букеты",
    "composition": "Композиции",
    "potted": "Горшечные",
    "other": "Другое",
}
Search = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]


class ShopUnknown(NotFound):
    """Магазин не найден"""


class PublicZone(BaseModel):
    """A delivery zone and its price."""

    name: str
    price: int


class PublicShop(BaseModel):
    """A shop, with the fields of all storefronts; the price of a delivery in tenge."""

    id: int
    name: str
    phone: str | None
    whatsapp_number: str | None
    whatsapp: str | None
    address: str
    pickup_address: str
    city: str
    description: str
    business_hours: dict[str, tuple[str, str]]
    working_hours: str
    delivery_zones: list[PublicZone]
    delivery_price: int
    delivery_time: str
    shop_logo_url: None = None
    instagram: None = None
    rating: None = None
    reviews_count: int = 0
    currency: str
    timezone: str


class PublicImage(BaseModel):
    """An image of a product."""

    id: int
    image_url: str
    is_primary: bool
    sort_order: int


class PublicProduct(BaseModel):
    """A product on sale; prices in tenge."""

    id: int
    shop_id: int
    name: str
    category: str
    description: str | None
    image_url: str | None
    retail_price: int
    sale_price: int | None
    is_active: bool
    is_popular: bool
    is_new: bool
    images: list[PublicImage]


class PublicProducts(BaseModel):
    """Products of a shop, and how many match."""

    items: list[PublicProduct]
    total: int


class ShortProduct(BaseModel):
    """A product as the second storefront reads it; `price` is the present one."""

    id: int
    name: str
    description: str | None
    price: int
    category: str
    image_url: str | None
    in_stock: bool
    shop_id: int


class ShortProducts(BaseModel):
    """Products of a shop, and how many match."""

    products: list[ShortProduct]
    total: int
    shop_id: int


class PublicCategory(BaseModel):
    """A category, and how many products it has."""

    name: str
    count: int
    display_name: str


class PublicCategories(BaseModel):
    """The categories that have products."""

    categories: list[PublicCategory]
    total: int


async def existing(shop: ApiContext, number: int) -> Directory:
    """The name and phone of a shop. Raises ShopUnknown, Unavailable."""
    directory = await shop.directories.find(tenant_of(number))
    if directory is None:
        raise ShopUnknown
    return directory


async def _of_path(shop: Shop, shop_id: Annotated[int, Path(ge=1, le=MOST)]) -> int:
    await existing(shop, shop_id)
    return shop_id


async def _of_query(shop: Shop, shop_id: Annotated[int, Query(ge=1, le=MOST)]) -> int:
    await existing(shop, shop_id)
    return shop_id


OfPath = Annotated[int, Depends(_of_path)]
OfQuery = Annotated[int, Depends(_of_query)]


@router.get("/shops/{shop_id}", response_model=PublicShop)
async def read(
    shop: Shop, request: Request, shop_id: Annotated[int, Path(ge=1, le=MOST)]
) -> Response:
    """A shop: its name, where it is and when it is open."""
    directory = await existing(shop, shop_id)
    known = (await company.find(shop.reading, tenant_of(shop_id))).company
    hours = (known.opens_at, known.closes_at)
    phone = next(iter(known.phones), directory.phone)
    return _cached(
        request,
        PublicShop(
            id=shop_id,
            name=known.name or directory.name,
            phone=phone,
            whatsapp_number=phone,
            whatsapp=phone,
            address=known.address,
            pickup_address=known.address,
            city=directory.city,
            description="",
            business_hours=dict.fromkeys(DAYS, hours),
            working_hours="–".join(hours),
            delivery_zones=[
                PublicZone(name=one.name, price=one.price) for one in known.delivery_zones
            ],
            delivery_price=STOREFRONT_FEE,
            delivery_time="2–4 часа",
            currency=shop.settings.currency,
            timezone=shop.settings.timezone,
        ),
    )


@router.get("/products", response_model=PublicProducts)
async def list_products(
    shop: Shop,
    request: Request,
    number: OfQuery,
    part: Annotated[Slice, by_skip(limit=20, most=100)],
    category: Category | None = None,
    min_price: Bound | None = None,
    max_price: Bound | None = None,
) -> Response:
    """The products on sale, the newest first."""
    values = _filters(category, min_price, max_price)
    found, total = await products.page(
        shop.reading, tenant_of(number), values, part, newest_first=True
    )
    items = [_product(number, product) for product in found]
    return _cached(request, PublicProducts(items=items, total=total))


@router.get("/shops/{shop_id}/products", response_model=ShortProducts)
async def list_short_products(
    shop: Shop,
    request: Request,
    number: OfPath,
    part: Annotated[Slice, by_skip(limit=100, most=500)],
    category: Category | None = None,
    min_price: Bound | None = None,
    max_price: Bound | None = None,
    in_stock: bool | None = None,
    search: Search = None,
) -> Response:
    """The products on sale, the newest first, with whether one piece can be made now."""
    values = _filters(category, min_price, max_price) | {"search": search or None}
    read = part if in_stock is None else Slice(MOST_PRODUCTS, 0)
    found, total = await products.page(
        shop.reading, tenant_of(number), values, read, newest_first=True
    )
    made = await _can_be_made(shop, number, found)
    items = [_short(number, product, product.product_id in made) for product in found]
    if in_stock is not None:
        matching = [one for one in items if one.in_stock == in_stock]
        items, total = matching[part.offset : part.offset + part.limit], len(matching)
    return _cached(request, ShortProducts(products=items, total=total, shop_id=number))


@router.get("/shops/{shop_id}/categories", response_model=PublicCategories)
async def list_categories(shop: Shop, request: Request, number: OfPath) -> Response:
    """The categories that have products on sale."""
    counts = await products.categories(shop.reading, tenant_of(number))
    categories = [
        PublicCategory(name=name, count=count, display_name=CATEGORY_NAMES.get(name, name))
        for name, count in counts.items()
    ]
    return _cached(request, PublicCategories(categories=categories, total=len(categories)))


def _cached(request: Request, body: BaseModel) -> Response:
    """The body with its entity tag, or 304 if the client has it."""
    content = body.model_dump_json().encode()
    tag = strong_tag(hashlib.sha256(content).hexdigest()[:32])
    return not_modified(request, tag, CACHED) or Response(
        content, media_type="application/json", headers={**CACHED, ETAG: tag}
    )


def _filters(category: str | None, least: float | None, most: float | None) -> dict[str, Any]:
    return {
        "category": category,
        "min_price": least,
        "max_price": most,
        "is_active": True,
    }


async def _can_be_made(
    shop: ApiContext, number: int, found: Collection[Product]
) -> Collection[int]:
    """The products of which the stock has enough for one piece, or that need no stock."""
    ids = {one.warehouse_item_id for product in found for one in product.ingredients}
    free: Mapping[int, int] = (
        await stock.available(shop.reading, tenant_of(number), ids) if ids else {}
    )
    return {
        product.product_id
        for product in found
        if all(free.get(one.warehouse_item_id, 0) >= one.quantity for one in product.ingredients)
    }


def _product(number: int, product: Product) -> PublicProduct:
    details = product.details
    assert details is not None  # noqa: S101 - the read model has no product without them
    # The admin stores the address of a picture that its own browser alone can open.
    images = [one for one in product.images if not one.url.startswith("blob:")]
    return PublicProduct(
        id=product.product_id,
        shop_id=number,
        images=[
            PublicImage(id=one.image_id, image_url=one.url, is_primary=at == 0, sort_order=at)
            for at, one in enumerate(images)
        ],
        **{
            name: getattr(details, name)
            for name in PublicProduct.model_fields.keys() - {"id", "shop_id", "images"}
        },
    )


def _short(number: int, product: Product, in_stock: bool) -> ShortProduct:
    details = product.details
    assert details is not None  # noqa: S101 - the read model has no product without them
    return ShortProduct(
        id=product.product_id,
        name=details.name,
        description=details.description,
        price=current_price(details),
        category=details.category,
        image_url=details.image_url,
        in_stock=in_stock,
        shop_id=number,
    )
