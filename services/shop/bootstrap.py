"""What the shop is made of: the only place that constructs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from contracts.gateway import SESSIONS, SessionRevoked
from contracts.shop import EVENTS, ShopEvent
from libs.files.files import open_files, tidying
from libs.http.live_messages import pruning
from libs.jobs import timers
from libs.process.context import extended, verified_by_gateway
from libs.process.periodic import Periodic
from libs.process.service import Manners, Revocation, Service
from libs.projections.projection import Projection
from services.shop.company import api as company
from services.shop.company import read_models as company_models
from services.shop.company.uploads import api as uploads
from services.shop.context import SHAPE, ApiContext, Context, Hooks, bad_request
from services.shop.customers import api as customers
from services.shop.customers import read_models as customer_models
from services.shop.customers.domain.customer import SameCustomer
from services.shop.customers.domain.person import AddressExists, DateExists
from services.shop.customers.handlers import PhoneTaken
from services.shop.live import api as live
from services.shop.live import read_models as live_models
from services.shop.notifications import reactions as notifications
from services.shop.notifications import read_models as reminders
from services.shop.orders.api import comments, order, payment
from services.shop.orders.api.payment import PaymentFailed
from services.shop.orders.domain.decisions import AddressIsFixed, AlreadyRated
from services.shop.orders.domain.status import CannotCancel, RollbackNotAllowed
from services.shop.orders.handlers.order import NotAFlorist
from services.shop.orders.read_models import projection as orders
from services.shop.orders.read_models import queries
from services.shop.orders.read_models.tables import TABLES as ORDER_TABLES
from services.shop.production import reactions as production
from services.shop.production.api import queue, tasks
from services.shop.production.read_models import projection as task_models
from services.shop.products import reactions as products
from services.shop.products import read_models as product_models
from services.shop.products.api import composition, product
from services.shop.products.calculator import api as calculator
from services.shop.products.calculator import read_models as material_models
from services.shop.products.prices import api as prices
from services.shop.settings import Settings
from services.shop.staff.adapters import open_directories
from services.shop.stock.api import supplies, warehouse
from services.shop.stock.api.supplies import SupplyEmpty
from services.shop.stock.domain.category import CategoryNameTaken
from services.shop.stock.domain.commands import StockExceeded
from services.shop.stock.read_models import category, item, movement, receipt
from services.shop.storefront.api import catalogue
from services.shop.storefront.api import order as storefront
from services.shop.storefront.tracking import api as tracking

HOOKS: Final = Hooks(stocked_items=item.stocked_items, product_sales=queries.product_sales)

BAD_REQUESTS: Final = (
    PhoneTaken,
    *(AddressExists, DateExists, SameCustomer),
    *(CannotCancel, RollbackNotAllowed, NotAFlorist, PaymentFailed),
    *(AddressIsFixed, AlreadyRated),
    *(StockExceeded, CategoryNameTaken, SupplyEmpty),
)
"""Refusals that the shop's pages know with the status 400."""


def projections(settings: Settings) -> Sequence[Projection[ShopEvent]]:
    """The projections of all read models."""
    reader = settings.vault_reader()
    return (
        company_models.projection(),
        product_models.projection(),
        material_models.projection(),
        customer_models.projection(reader),
        *(item.projection(), movement.projection(), receipt.projection(), category.projection()),
        orders.projection(reader),
        task_models.projection(reader),
        live_models.projection(),
        reminders.projection(reader, settings.zone),
    )


def manners(settings: Settings) -> Manners:
    """How the shop answers."""
    bad_requests: dict[type[Exception], Any] = dict.fromkeys(BAD_REQUESTS, bad_request)
    return Manners(
        shape=SHAPE.with_rows({**uploads.REFUSALS, **bad_requests}),
        longer_bodies=uploads.longer_bodies(settings),
    )


def file_tidying(context: Context) -> Periodic:
    """The job that removes what was not uploaded completely."""
    return tidying(open_files(context.settings, context.system))


def message_pruning(context: Context) -> Periodic:
    """The job that deletes old live messages."""
    return pruning(context.system)


@asynccontextmanager
async def open_api(context: Any, service: str) -> AsyncIterator[ApiContext]:
    """What routes work with. Raises Unavailable."""
    async with (
        verified_by_gateway(context, service) as frame,
        open_directories(context.settings.jwks_url) as directories,
    ):
        files = open_files(context.settings, context.system)
        yield extended(ApiContext, frame, directories=directories, files=files, hooks=HOOKS)


SERVICE: Final = Service(
    name="shop",
    settings=Settings,
    events=EVENTS,
    projections=projections,
    routers=(
        company.router,
        uploads.router,
        *(product.router, composition.router, prices.router, calculator.router),
        customers.router,
        *(warehouse.router, supplies.router),
        *(order.router, comments.router, payment.router),
        *(tasks.router, queue.router),
        live.router,
        *(tracking.router, catalogue.router, storefront.router),
    ),
    manners=manners,
    open_verifier=open_api,
    personal=(customer_models.CUSTOMER, *ORDER_TABLES, *task_models.TABLES),
    reactions=(
        products.registrations,
        production.tasks_of_orders,
        notifications.storefront_orders,
    ),
    jobs=(file_tidying, message_pruning, notifications.reminding),
    job_tables=(timers.TABLE,),
    streams=live.STREAMS,
    revocation=Revocation(SESSIONS, SessionRevoked),
)
