"""What the scale bridge is made of: the only place that constructs."""

from functools import partial
from typing import Final

from contracts.gateway import SESSIONS, SessionRevoked
from contracts.scale_bridge import EVENTS
from libs.jobs.completion import CompletionWaiter
from libs.process.context import extended
from libs.process.service import Connections, Manners, Revocation, Service
from services.scale_bridge.barcodes import api as barcode
from services.scale_bridge.bridges import api as bridge
from services.scale_bridge.bridges import reactions as enrolment
from services.scale_bridge.bridges.stores import agent_assignments, bridges
from services.scale_bridge.catalogue.api import label, products, revisions
from services.scale_bridge.catalogue.stores.cache import CatalogueCache
from services.scale_bridge.context import SHAPE, ApiContext, Context, Hooks
from services.scale_bridge.devices.api import device, profile
from services.scale_bridge.devices.handlers import device as device_commands
from services.scale_bridge.devices.handlers import verification
from services.scale_bridge.devices.read_models import device as devices
from services.scale_bridge.monitoring import handlers as retention
from services.scale_bridge.monitoring.api import board, shops, twin
from services.scale_bridge.monitoring.read_models import display_history
from services.scale_bridge.operations import api as operations
from services.scale_bridge.operations import read_models as operation_history
from services.scale_bridge.operations.handlers import operation, worker
from services.scale_bridge.prices import handlers as price
from services.scale_bridge.prices import reactions as shop
from services.scale_bridge.prices.api import prices
from services.scale_bridge.prices.read_models import price_delivery
from services.scale_bridge.schedules.api import auto_update, calendar
from services.scale_bridge.schedules.handlers import recovery, schedule
from services.scale_bridge.schedules.read_models import schedule as schedules
from services.scale_bridge.settings import Settings

READ_MODELS: Final = (devices, operation_history, schedules, display_history, price_delivery)
HOOKS: Final = Hooks(
    own_device=device_commands.load_of_caller,
    on_registered=schedule.set_default,
    after_fetch=price.reapply,
    pending_fetches=operation.pending_fetches,
    schedule_zone=schedule.zone,
    agent_kinds=agent_assignments.kinds_of,
    bridge_owner=bridges.owner_of,
)

SERVICE: Final = Service(
    name="scale_bridge",
    settings=Settings,
    events=EVENTS,
    projections=lambda _: [model.projection() for model in READ_MODELS],
    routers=(  # Before the devices: `/devices/board` is no device.
        *(board.router, profile.router, shops.router, profile.strictness_router, twin.router),
        *(auto_update.router, calendar.router, operations.fetch_router, products.router),
        *(operations.upload_router, operations.router, prices.router, revisions.router),
        *(label.router, barcode.router, device.router, bridge.router),
    ),
    manners=lambda settings: Manners(
        shape=SHAPE, docs=settings.debug, title="Scales API", version="1.0.0"
    ),
    context=lambda frame: extended(Context, frame, hooks=HOOKS, catalogues=CatalogueCache()),
    api_context=lambda frame: extended(
        ApiContext,
        frame,
        hooks=HOOKS,
        catalogues=CatalogueCache(),
        completions=CompletionWaiter(partial(operation.find_ends, frame.store), frame.doorbell),
    ),
    streams=board.STREAMS,
    connections=Connections(api=3, tasks=4),
    reactions=(shop.prices, lambda _: enrolment.enrolments()),
    tasks=(worker.open_task,),
    jobs=(schedule.job, verification.job, price.job, retention.job, recovery.job),
    revocation=Revocation(SESSIONS, SessionRevoked),
)
