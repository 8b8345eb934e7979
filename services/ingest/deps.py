"""What ingest holds while it runs."""

from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request

from contracts.ingest import IngestEvent
from libs.clock import Clock
from libs.eventsourcing.store import EventStore
from libs.http.auth import TokenVerifier
from libs.postgres.pool import Pool
from libs.telemetry.traces import Telemetry
from services.ingest.settings import Settings


class Freshness(Protocol):
    """Knows how far the read models have come."""

    async def wait(self, projection: str, token: str) -> bool:
        """Whether the read model has what `token` names, before a deadline."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Deps:
    """`reading` shows one tenant at a time; only questions go through it."""

    settings: Settings
    store: EventStore[IngestEvent]
    reading: Pool
    clock: Clock
    verifier: TokenVerifier
    freshness: Freshness
    telemetry: Telemetry


def running(request: Request) -> Deps:
    """What the app was built with."""
    deps: Deps = request.app.state.deps
    return deps


Ingest = Annotated[Deps, Depends(running)]
