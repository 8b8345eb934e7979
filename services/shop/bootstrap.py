"""What the shop is made of: the only place that constructs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from contracts.gateway import SESSIONS, SessionRevoked
from contracts.shop import EVENTS
from libs.jobs import timers
from libs.process.context import verified_by_gateway
from libs.process.service import Manners, Revocation, Service
from services.shop.company import api as company
from services.shop.company import read_models as company_models
from services.shop.company.uploads import api as uploads
from services.shop.context import SHAPE, ApiContext, Hooks, api_context, file_tidying
from services.shop.customers import api as customers
from services.shop.customers import reactions as forgetting
from services.shop.customers import read_models as customer_models
from services.shop.live import api as live
from services.shop.live import read_models as live_models
from services.shop.live.notifications import reactions as notifications
from services.shop.live.notifications import read_models as reminders
from services.shop.orders import api as orders
from services.shop.orders import read_models as order_models
from services.shop.orders.day import read_models as days
from services.shop.production import api as tasks
from services.shop.production import reactions as production
from services.shop.production import read_models as task_models
from services.shop.products import api as products
from services.shop.products import reactions as shops
from services.shop.products import read_models as product_models
from services.shop.products.calculator import api as calculator
from services.shop.products.calculator import read_models as materials
from services.shop.settings import Settings
from services.shop.staff.adapters import open_directories
from services.shop.stock import api as stock
from services.shop.stock import read_models as stock_models
from services.shop.storefront import api as storefront


@asynccontextmanager
async def open_api(context: Any, service: str) -> AsyncIterator[ApiContext]:
    """What routes work with. Raises Unavailable."""
    async with (
        verified_by_gateway(context, service) as frame,
        open_directories(context.settings.jwks_url) as names,
    ):
        hooks = Hooks(stock_models.stocked_items, order_models.product_sales)
        yield api_context(frame, names, hooks)


SERVICE: Final = Service(
    name="shop",
    settings=Settings,
    events=EVENTS,
    projections=lambda given: (
        *(one.projection() for one in (company_models, product_models, materials, live_models)),
        *(*stock_models.projections(), task_models.projection()),
        *(one.projection(given.vault_reader()) for one in (customer_models, order_models)),
        *(reminders.projection(given.vault_reader(), given.zone), days.projection(given.zone)),
    ),
    routers=(
        *(*company.ROUTERS, uploads.router, customers.router, live.router, *storefront.ROUTERS),
        *(*products.ROUTERS, calculator.router, *stock.ROUTERS, *orders.ROUTERS, *tasks.ROUTERS),
    ),
    manners=lambda given: Manners(
        shape=SHAPE.with_rows(uploads.REFUSALS),
        longer_bodies=uploads.longer_bodies(given, orders.PHOTOS),
    ),
    open_verifier=open_api,
    personal=(customer_models.CUSTOMER, *order_models.TABLES),
    reactions=(
        *(shops.registrations, forgetting.forgotten_customers),
        *(production.tasks_of_orders, notifications.order_notifications),
    ),
    jobs=(file_tidying, live_models.message_pruning, notifications.reminding),
    job_tables=(timers.TABLE,),
    streams=live.STREAMS,
    revocation=Revocation(SESSIONS, SessionRevoked),
)
