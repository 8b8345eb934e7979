"""What the service holds while it runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final, Protocol, TypeAlias

from fastapi import Depends, Request

from contracts.ingest import IngestEvent, ScanId
from libs.clock import Clock
from libs.eventsourcing.store import EventStore
from libs.http.auth import TokenVerifier
from libs.http.revocations import Revocations
from libs.postgres.doorbell import Doorbell
from libs.postgres.pool import Pool
from libs.process.weighted_semaphore import WeightedSemaphore
from libs.telemetry.traces import Telemetry
from services.ingest.settings import Settings

if TYPE_CHECKING:
    from services.ingest.dashboard.stores import PastCache

LARGE_BODIES_BYTES: Final = 10 * 1024 * 1024
"""The large bodies that are read at the same time: one of the largest allowed size."""


class Consistency(Protocol):
    """Waits for read models."""

    async def wait_for_token(self, model: str, token: str) -> bool:
        """Whether the read model contains the events of `token` before a deadline."""
        ...

    async def wait_visible(
        self, models: Sequence[str], tokens: Sequence[str], within: float
    ) -> bool:
        """Whether the read models contain the events of `tokens` within so many seconds."""
        ...


Positions: TypeAlias = Callable[[], Awaitable[object]]
"""The positions of the dashboard's read models: unequal if a read model has moved."""

ItemsInBox: TypeAlias = Callable[[str, str, str], AsyncIterator[Sequence[ScanId]]]
"""Pages of the items in the log of a tenant, box and code: see `logged_items.of_box`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deps:
    """`reading` shows one tenant at a time and serves queries only. `export_slots` limits parallel
    exports, `as_of_slots` queries of the past, `large_bodies` the bytes of large requests.
    `past_cache` caches states of the past. `count_quarantine` counts the open quarantined events
    of all tenants by code.
    """

    settings: Settings
    store: EventStore[IngestEvent]
    reading: Pool
    clock: Clock
    verifier: TokenVerifier
    revocations: Revocations
    consistency: Consistency
    telemetry: Telemetry
    count_quarantine: Callable[[], Awaitable[Mapping[str, int]]]
    export_slots: asyncio.Semaphore
    as_of_slots: asyncio.Semaphore
    past_cache: "PastCache"
    positions: Positions
    doorbell: Doorbell
    items_in_box: ItemsInBox
    large_bodies: WeightedSemaphore = field(
        default_factory=lambda: WeightedSemaphore(LARGE_BODIES_BYTES)
    )


async def running(request: Request) -> Deps:
    """The dependencies the app was built with."""
    deps: Deps = request.app.state.deps
    return deps


Ingest = Annotated[Deps, Depends(running)]
