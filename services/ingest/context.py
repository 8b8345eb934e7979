"""What ingest holds while it runs."""

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
    from services.ingest.dashboard.read_models.kept_past import KeptPast

LARGE_BODIES_BYTES: Final = 10 * 1024 * 1024
"""As much as one request may bring at most: of such only one is read at a time."""


class Consistency(Protocol):
    """Knows how far the read models have come."""

    async def wait_for_token(self, model: str, token: str) -> bool:
        """Whether the read model has what `token` names, before a deadline."""
        ...

    async def wait_visible(
        self, models: Sequence[str], tokens: Sequence[str], within: float
    ) -> bool:
        """Whether the read models have what `tokens` name, in time."""
        ...


Positions: TypeAlias = Callable[[], Awaitable[object]]
"""The positions of the dashboard's read models: a value that differs whenever they moved."""

ItemsInBox: TypeAlias = Callable[[str, str, str], AsyncIterator[Sequence[ScanId]]]
"""Pages of the items that the log holds for a tenant, box and code: see `logged_items.of_box`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deps:
    """`reading` shows one tenant at a time; only questions go through it. `exports` limits
    parallel exports, `looking_back` queries of the past, `large_bodies` the bytes of large
    requests. `kept_past` caches computed states of the past. `open_quarantine` counts open events
    by code, over all tenants.
    """

    settings: Settings
    store: EventStore[IngestEvent]
    reading: Pool
    clock: Clock
    verifier: TokenVerifier
    revocations: Revocations
    consistency: Consistency
    telemetry: Telemetry
    open_quarantine: Callable[[], Awaitable[Mapping[str, int]]]
    exports: asyncio.Semaphore
    looking_back: asyncio.Semaphore
    kept_past: "KeptPast"
    positions: Positions
    doorbell: Doorbell
    items_in_box: ItemsInBox
    large_bodies: WeightedSemaphore = field(
        default_factory=lambda: WeightedSemaphore(LARGE_BODIES_BYTES)
    )


async def running(request: Request) -> Deps:
    """What the app was built with."""
    deps: Deps = request.app.state.deps
    return deps


Ingest = Annotated[Deps, Depends(running)]
