"""What the service holds while it runs, and what all its routes share.

No subject is imported here; their types are imported for the type checker only.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict
from zoneinfo import ZoneInfo

from fastapi import Depends, Path
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from contracts.shop import ShopEvent
from libs.errors import Forbidden, NotFound
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.tokens import collected
from libs.files.files import Files, open_files, tidying
from libs.http.auth import require
from libs.http.shapes import TEXT
from libs.postgres.pool import Pool
from libs.process import context as frame
from libs.process.fair_queue import FairQueue
from libs.process.periodic import Periodic
from services.shop.settings import Settings

if TYPE_CHECKING:
    from services.shop.products.domain import Sales, StockedItem
    from services.shop.staff.adapters import Directories

SHAPE: Final = TEXT
"""A text under `detail`, in Russian (spec shop §1)."""


TENANT: Final = "shop-"
"""The tenant of the shop with the number 7 is `shop-7`; the gateway assigns both."""

IMPORT: Final = "import"
"""The actor of imported events; members are not notified of them."""

Context = frame.Context[Settings, ShopEvent]


@dataclass(frozen=True, slots=True)
class Hooks:
    """Queries of upper subjects that the routes of lower ones need; bootstrap connects them.

    Given the pool of queries and the tenant. `stocked_items`: the warehouse items with these ids,
    by id; those that do not exist are missing. `product_sales`: the sales of one product.
    """

    stocked_items: Callable[[Pool, str, Sequence[int]], Awaitable[Mapping[int, "StockedItem"]]]
    product_sales: Callable[[Pool, str, int], Awaitable["Sales"]]


def _order_queue() -> FairQueue:
    return FairQueue("orders", parallel=8, max_waiting=2000, per_source=2000, timeout_seconds=60)


@dataclass(frozen=True, kw_only=True)
class ApiContext(frame.ApiContext[Settings, ShopEvent]):
    """What routes work with: names of shops and of their staff, and the files of shops.

    In the `order_queue` shops take turns to place orders: more at a time would only wait for
    connections, until these are not free in time.
    """

    directories: "Directories"
    files: Files
    hooks: Hooks
    order_queue: FairQueue = field(default_factory=_order_queue)


def api_context(frame_context: Any, directories: "Directories", hooks: Hooks) -> ApiContext:
    """What routes work with. Raises ValueError if the URL of the files cannot be used."""
    files = open_files(frame_context.settings, frame_context.system)
    own: dict[str, Any] = {"directories": directories, "files": files, "hooks": hooks}
    return frame.extended(ApiContext, frame_context, **own)


def file_tidying(context: Context) -> Periodic:
    """The job that removes files that were not stored completely."""
    return tidying(open_files(context.settings, context.system))


Shop = Annotated[ApiContext, Depends(frame.running)]


class Authorship(TypedDict):
    """The fields that commands share: the account that wants the change, and the time of now."""

    by: str
    now: datetime


def authorship(context: Context, metadata: Metadata) -> Authorship:
    """The author and time of a command: `CancelTask(**authorship(context, metadata))`."""
    return {"by": metadata.actor or "", "now": context.clock()}


async def await_writes(shop: ApiContext, tenant: str, read_model: str) -> None:
    """Wait until a read model includes what this request wrote, or what an earlier one wrote that
    this one repeats. Without success the route's `visible` marks the response as stale."""
    if tokens := collected():
        await shop.consistency.wait_visible([read_model], tokens, shop.settings.stale_wait_seconds)
    else:
        await shop.consistency.caught_up(read_model, tenant)


def shop_number(tenant: str) -> int:
    """The number of the shop that is this tenant. Raises NotAShop."""
    number = tenant.removeprefix(TENANT)
    if number == tenant or not number.isdecimal():
        raise NotAShop
    return int(number)


def tenant_of(number: int) -> str:
    """The tenant of the shop with this number."""
    return f"{TENANT}{number}"


def whole_tenge(value: Any) -> Any:
    """A client's amount in whole tenge: numbers are rounded half up (spec shop §1).

    Raises ValueError for a negative or infinite amount. Safe to repeat.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    exact = Decimal(str(value))
    if not exact.is_finite() or exact < 0:
        raise ValueError("must be a finite number, 0 or more")
    return int(exact.to_integral_value(ROUND_HALF_UP)) if isinstance(value, float) else value


def in_utc(moment: datetime, zone: ZoneInfo) -> datetime:
    """A moment that a client sent, in UTC; without an offset it is one in the shop's zone."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def changes_of(body: BaseModel, *nullable: str) -> dict[str, Any]:
    """The fields that a client sent. Null clears those that are `nullable`, and leaves others."""
    given = body.model_dump(exclude_unset=True)
    return {name: one for name, one in given.items() if one is not None or name in nullable}


PlainText = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""A text that can be stored: without NUL characters; surrogates match no pattern."""
MOST_ID: Final = 2**63 - 1
Id = Annotated[int, Field(ge=1, le=MOST_ID)]
PathId = Annotated[int, Path(ge=1, le=MOST_ID)]
"""The number of an object, in a body and in a path."""
MOST_TENGE: Final = 1_000_000_000
Tenge = Annotated[
    int,
    BeforeValidator(whole_tenge),
    Field(ge=0, le=MOST_TENGE),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": MOST_TENGE}),
]
"""An amount of money that a client sends."""


class NotAShop(Forbidden):
    """Токен не принадлежит магазину"""


class Unknown(NotFound):
    """Не найдено"""


ORDERS: Final = require("shop:orders")
WAREHOUSE: Final = require("shop:warehouse")
CUSTOMERS: Final = require("shop:customers")
PRODUCTION: Final = require("shop:production")
SETTINGS: Final = require("shop:settings")
"""The permissions of staff (spec shop §2.5); the gateway's realm `shop` grants them to roles."""
