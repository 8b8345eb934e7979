"""What the service holds while it runs, and what all its routes share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends

from contracts.shop import ShopEvent
from libs.errors import Forbidden, NotFound, Unfit
from libs.http.auth import require
from libs.http.shapes import TEXT
from libs.process import context as frame
from services.shop.settings import Settings

if TYPE_CHECKING:
    from services.shop.staff.adapters import Directories

SHAPE: Final = TEXT
"""A text under `detail`, in Russian (spec shop §1)."""

TENANT: Final = "shop-"
"""The tenant of the shop with the number 7 is `shop-7`; the gateway assigns both."""

Context = frame.Context[Settings, ShopEvent]


@dataclass(frozen=True, kw_only=True)
class ApiContext(frame.ApiContext[Settings, ShopEvent]):
    """What routes work with. `directories` are the names of shops and of their staff."""

    directories: "Directories"


Shop = Annotated[ApiContext, Depends(frame.running)]


def shop_number(tenant: str) -> int:
    """The number of the shop that is this tenant. Raises NotAShop."""
    number = tenant.removeprefix(TENANT)
    if number == tenant or not number.isdecimal():
        raise NotAShop
    return int(number)


def tenant_of(number: int) -> str:
    """The tenant of the shop with this number."""
    return f"{TENANT}{number}"


class NotAShop(Forbidden):
    """Токен не принадлежит магазину"""


class Unknown(NotFound):
    """Не найдено"""


class BadValue(Unfit):
    """Проверьте данные запроса"""


ORDERS: Final = require("shop:orders")
WAREHOUSE: Final = require("shop:warehouse")
CUSTOMERS: Final = require("shop:customers")
PRODUCTION: Final = require("shop:production")
SETTINGS: Final = require("shop:settings")
"""The permissions of staff (spec shop §2.5); the gateway's realm `shop` grants them to roles."""
