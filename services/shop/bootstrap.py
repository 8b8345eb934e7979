"""What the shop is made of: the only place that constructs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from contracts.gateway import SESSIONS, SessionRevoked
from contracts.shop import EVENTS, ShopEvent
from libs.process.context import extended, verified_by_gateway
from libs.process.service import Manners, Revocation, Service
from libs.projections.projection import Projection
from services.shop.company import api as company
from services.shop.company import read_models as company_models
from services.shop.context import SHAPE, ApiContext, Hooks
from services.shop.products import read_models as product_models
from services.shop.products.api import composition, product
from services.shop.products.prices import api as prices
from services.shop.settings import Settings
from services.shop.staff.adapters import open_directories

HOOKS: Final = Hooks()


def projections(_: Settings) -> Sequence[Projection[ShopEvent]]:
    """The projections of all read models."""
    return (company_models.projection(), product_models.projection())


@asynccontextmanager
async def open_api(context: Any, service: str) -> AsyncIterator[ApiContext]:
    """What routes work with. Raises Unavailable."""
    async with (
        verified_by_gateway(context, service) as frame,
        open_directories(context.settings.jwks_url) as directories,
    ):
        yield extended(ApiContext, frame, directories=directories, hooks=HOOKS)


SERVICE: Final = Service(
    name="shop",
    settings=Settings,
    events=EVENTS,
    projections=projections,
    routers=(company.router, product.router, composition.router, prices.router),
    manners=lambda _: Manners(shape=SHAPE),
    open_verifier=open_api,
    revocation=Revocation(SESSIONS, SessionRevoked),
)
