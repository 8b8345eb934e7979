"""What the scale bridge holds while it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request

from libs.clock import Clock
from libs.http.auth import TokenVerifier
from libs.http.revocations import Revocations
from libs.postgres.doorbell import Doorbell
from libs.postgres.pool import Pool
from libs.telemetry.traces import Telemetry
from services.scale_bridge.desk import Desk
from services.scale_bridge.operations.handlers.ends import Ends
from services.scale_bridge.settings import Settings


class Consistency(Protocol):
    """Knows how far the read models have come."""

    async def wait_visible(
        self, models: Sequence[str], tokens: Sequence[str], within: float
    ) -> bool:
        """Whether the read models have what `tokens` name, in time."""
        ...

    async def caught_up(self, model: str, tenant: str) -> bool:
        """Whether the read model has all that the log holds of a tenant now, before a deadline."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Deps:
    """`reading` shows one tenant at a time; only questions go through it."""

    settings: Settings
    desk: Desk
    ends: Ends
    reading: Pool
    clock: Clock
    verifier: TokenVerifier
    revocations: Revocations
    consistency: Consistency
    telemetry: Telemetry
    doorbell: Doorbell


async def running(request: Request) -> Deps:
    """What the app was built with."""
    deps: Deps = request.app.state.deps
    return deps


Scales = Annotated[Deps, Depends(running)]
