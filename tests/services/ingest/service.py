"""Ingest under test: its API on a log in memory and read models in Postgres, and its callers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

from fastapi import FastAPI
from httpx import AsyncClient

from contracts.ingest import ScanId, ScanRecorded
from libs.eventsourcing.postgres import PostgresLog
from libs.http import revoked_sessions
from libs.http.revocations import Revocations
from libs.postgres.doorbell import PROJECTED, Doorbell
from libs.postgres.pool import Pool
from libs.process.lifecycle import serve
from libs.process.service import make_app
from libs.telemetry.traces import set_up
from libs.testing.callers import bearer, client_of, verifier
from libs.testing.clock import Clock
from libs.testing.polling import PATIENCE_SECONDS
from libs.testing.read_models import Projector
from services.ingest.bootstrap import SERVICE
from services.ingest.context import Deps
from services.ingest.dashboard.stores import PastCache
from services.ingest.quarantine import read_models as quarantine
from services.ingest.scans.read_models import logged_items
from tests.services.ingest.history import NOON, SETTINGS, Store, batch, record

BATCH = "/api/v1/events/batch"
VERIFY = "/api/v1/events/verify"
REMOVE = "/api/v1/events/remove"
BULK = "/api/v1/events/bulk-remove"
DELETIONS = "/api/v1/deletions"
STATE = "/api/v1/dashboard/state"
BOXES = "/api/v1/dashboard/boxes"
RAW = "/api/v1/dashboard/raw"
CSV = "/api/v1/export/csv"
BOXES_CSV = "/api/v1/export/boxes-csv"
EXCEL = "/api/v1/export/excel"
QUARANTINE = "/api/v1/quarantine"

READ, WRITE, REMOVING = "scan:read", "scan:write", "scan:remove"
CALLERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "device": ("demo", (WRITE,)),
    "viewer": ("demo", (READ,)),
    "remover": ("demo", (REMOVING,)),
    "mender": ("demo", (READ, REMOVING)),
    "stranger": ("other", (READ, WRITE, REMOVING)),
}


@dataclass
class ReadModels(Projector):
    """Read models that catch up when they are waited for, unless `stale`."""

    stale: bool = False
    waited_for: set[tuple[str, str]] = field(default_factory=set)

    async def wait_for_token(self, model: str, token: str) -> bool:
        """Catch up, unless stale; whether it was done."""
        self.waited_for.add((model, token))
        return not self.stale and await super().wait_for_token(model, token)

    async def wait_visible(
        self, models: Sequence[str], tokens: Sequence[str], within: float
    ) -> bool:
        """Catch up, unless stale; whether it was done."""
        return not self.stale and await super().wait_visible(models, tokens, within)


@dataclass(frozen=True, kw_only=True)
class Service:
    """The API in this process; `stranger` may do everything, but for another tenant."""

    app: FastAPI
    store: Store
    pool: Pool
    clock: Clock
    read_models: ReadModels
    device: AsyncClient
    viewer: AsyncClient
    remover: AsyncClient
    mender: AsyncClient
    stranger: AsyncClient
    anonymous: AsyncClient

    @property
    def deps(self) -> Deps:
        deps: Deps = self.app.state.deps
        return deps

    def built(self, **settings: Any) -> FastAPI:
        """The API with other settings, on the same log and read models."""
        changed = self.deps.settings.model_copy(update=settings)
        return make_app(SERVICE, replace(self.deps, settings=changed))

    def change(self, **deps: Any) -> None:
        """Replace something that the API was built with."""
        self.app.state.deps = replace(self.deps, **deps)

    async def send(self, *events: object, by: AsyncClient | None = None) -> Any:
        """A device's batch, accepted and counted in the read models; the answer."""
        answer = await (by or self.device).post(BATCH, content=batch(*events))
        assert answer.status_code == 200, answer.text
        await self.read_models.catch_up()
        return answer.json()

    async def record(self, *events: Any, tenant: str = "demo") -> None:
        """Apply events to the read models, past the log."""
        await record(self.pool, *events, tenant=tenant)

    async def remove(self, *uuids: str, operator: str = "vera") -> Any:
        """Remove items by their ids; the answer."""
        body = {"operator": operator, "uuids": uuids}
        answer = await self.remover.post(BULK, json=body)
        assert answer.status_code == 200, answer.text
        await self.read_models.catch_up()
        return answer.json()

    async def get(self, path: str, **params: Any) -> Any:
        """What a viewer is answered, once the read models are up to date."""
        await self.read_models.catch_up()
        answer = await self.viewer.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def open_service(
    store: Store, pool: Pool, reading: Pool, clock: Clock, read_models: ReadModels
) -> AsyncIterator[Service]:
    """The whole API with a client for every kind of caller."""
    doorbell = Doorbell("postgresql://nowhere", "ingest")
    load = partial(revoked_sessions.load, pool)
    revocations = Revocations(load, doorbell, longest=timedelta(minutes=15), clock=clock)
    read_models.on_commit = partial(doorbell.ring, PROJECTED)
    deps = Deps(
        settings=SETTINGS,
        system=pool,
        store=store,
        reading=reading,
        clock=clock,
        verifier=verifier("ingest", clock=clock, revoked=revocations.is_revoked),
        revocations=revocations,
        consistency=read_models,
        telemetry=set_up("ingest"),
        count_quarantine=partial(quarantine.open_by_code, pool),
        export_slots=asyncio.Semaphore(1),
        as_of_slots=asyncio.Semaphore(1),
        past_cache=PastCache(step=7),
        doorbell=doorbell,
        items_in_box=(
            partial(logged_items.of_box, reading)
            if isinstance(store.log, PostgresLog)
            else partial(_items_in_memory, store)
        ),
    )
    app = make_app(SERVICE, deps)
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(client_of(app, _headers(name, tenant, scopes)))
            for name, (tenant, scopes) in CALLERS.items()
        }
        anonymous = await stack.enter_async_context(client_of(app))
        yield Service(
            app=app,
            store=store,
            pool=pool,
            clock=clock,
            read_models=read_models,
            anonymous=anonymous,
            **clients,
        )


@asynccontextmanager
async def served(app: FastAPI, stop: asyncio.Event | None = None) -> AsyncIterator[str]:
    """The address of the app on the server it really runs on, until its last request is over."""
    stop, port = stop or asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(app, "127.0.0.1", 0, stop=stop, on_listening=port.set_result)
    )
    try:
        yield f"http://127.0.0.1:{await port}"
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await serving


def _headers(name: str, tenant: str, scopes: tuple[str, ...]) -> dict[str, str]:
    subject = "device-1" if name == "device" else name
    long_ago = NOON - timedelta(days=1000)
    return bearer(
        "ingest", subject=subject, tenant=tenant, scopes=scopes, kind="api-key", now=long_ago
    )


async def _items_in_memory(
    store: Store, tenant: str, box: str, code: str
) -> AsyncIterator[list[ScanId]]:
    recorded = [one async for page in store.log.read_all() for one in page]
    scans = [store.decode(one) for one in recorded if one.metadata.tenant == tenant]
    yield [
        scan.scan_id
        for scan in scans
        if isinstance(scan, ScanRecorded) and (scan.box, scan.code) == (box, code)
    ]
