"""What the shop is made of: the only place that constructs."""

from collections.abc import Sequence
from typing import Final

from contracts.gateway import SESSIONS, SessionRevoked
from contracts.shop import EVENTS, ShopEvent
from libs.process.context import extended
from libs.process.service import Manners, Revocation, Service
from libs.projections.projection import Projection
from services.shop.company import api as company
from services.shop.company import read_models as company_models
from services.shop.context import SHAPE, ApiContext, Hooks
from services.shop.products import read_models as product_models
from services.shop.products.api import composition, product
from services.shop.settings import Settings

HOOKS: Final = Hooks()


def projections(_: Settings) -> Sequence[Projection[ShopEvent]]:
    """The projections of all read models."""
    return (company_models.projection(), product_models.projection())


SERVICE: Final = Service(
    name="shop",
    settings=Settings,
    events=EVENTS,
    projections=projections,
    routers=(company.router, product.router, composition.router),
    manners=lambda _: Manners(shape=SHAPE),
    api_context=lambda frame: extended(ApiContext, frame, hooks=HOOKS),
    revocation=Revocation(SESSIONS, SessionRevoked),
)
