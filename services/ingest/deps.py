"""What ingest holds while it runs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol, TypeAlias

from fastapi import Depends, Request

from contracts.ingest import IngestEvent
from libs.clock import Clock
from libs.eventsourcing.store import EventStore
from libs.http.auth import TokenVerifier
from libs.http.revocations import Revocations
from libs.postgres.pool import Pool
from libs.telemetry.traces import Telemetry
from services.ingest.settings import Settings


class Freshness(Protocol):
    """Knows how far the read models have come."""

    async def wait(self, projection: str, token: str) -> bool:
        """Whether the read model has what `token` names, before a deadline."""
        ...

    async def caught_up(self, projection: str) -> bool:
        """Whether the read model has all that the log holds now, before a deadline."""
        ...


Standing: TypeAlias = Callable[[], Awaitable[object]]
"""Where the read models of the dashboard stand: something that differs whenever they moved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deps:
    """`reading` shows one tenant at a time; only questions go through it. `exports` are the turns
    of those who read everything at once, `looking_back` of those who ask about the past.
    `open_quarantine` counts what waits in it, by code, of all tenants.
    """

    settings: Settings
    store: EventStore[IngestEvent]
    reading: Pool
    clock: Clock
    verifier: TokenVerifier
    revocations: Revocations
    freshness: Freshness
    telemetry: Telemetry
    open_quarantine: Callable[[], Awaitable[Mapping[str, int]]]
    exports: asyncio.Semaphore
    looking_back: asyncio.Semaphore
    standing: Standing


async def running(request: Request) -> Deps:
    """What the app was built with."""
    deps: Deps = request.app.state.deps
    return deps


Ingest = Annotated[Deps, Depends(running)]
