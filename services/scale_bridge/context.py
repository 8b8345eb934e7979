"""The frame of the service: what commands work with, and what all routes share.

Types of subjects are named for the type checker only: no subject is imported here.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Depends, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import HTTPConnection

from contracts.scale_bridge import DeviceId, OperationId, ScaleBridgeEvent
from libs.clock import Clock
from libs.errors import Unauthenticated
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.store import EventStore
from libs.http.auth import Permission, Principal, TokenVerifier
from libs.http.problems import Problem, encodable
from libs.http.revocations import Revocations
from libs.http.visible import visible
from libs.postgres.doorbell import Doorbell
from libs.postgres.pool import Pool
from libs.security.sealing import Seal
from libs.telemetry.traces import Telemetry, current_traceparent

if TYPE_CHECKING:
    from services.scale_bridge.barcodes.domain import Rules
    from services.scale_bridge.catalogue.stores.cache import CatalogueCache
    from services.scale_bridge.devices.handlers.device import LoadedDevice
    from services.scale_bridge.driver.domain.address import Policy
    from services.scale_bridge.operations.handlers.completion_waiter import CompletionWaiter
    from services.scale_bridge.operations.stores.work import Job, Work
    from services.scale_bridge.settings import Settings
    from services.scale_bridge.transfer.stores.breakers import Breakers


class AfterFetch(Protocol):
    """Runs when a catalogue was read from its scale by a job. Safe to repeat.

    `since` is the revision the fetch was ordered at; `sends` allows an upload to follow.
    Raises Unavailable, LogUnavailable.
    """

    async def __call__(
        self, context: "Context", job: "Job", *, since: int | None, sends: bool
    ) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Hooks:
    """Functions of upper subjects that lower ones call; bootstrap connects them.

    `own_device` is a caller's device by its number, `bridge_owner` the account of an agent,
    `readings` the operations that read a scale now, `agent_kinds` the kinds of work agents have
    for an operation, `schedule_zone` the zone of a device's calendar.
    """

    own_device: Callable[["Context", Principal, int], Awaitable["LoadedDevice"]]
    on_registered: Callable[["Context", DeviceId, Metadata], Awaitable[None]]
    after_fetch: AfterFetch
    readings: Callable[["Context", str, DeviceId], Awaitable[frozenset[OperationId]]]
    schedule_zone: Callable[
        [EventStore[ScaleBridgeEvent], Pool, str, DeviceId], Awaitable[ZoneInfo | None]
    ]
    agent_kinds: Callable[[Pool, str, OperationId], Awaitable[Collection[str]]]
    bridge_owner: Callable[[Pool, str, UUID], Awaitable[UUID | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What commands work with. `pool` is in system scope; operations last `operation_seconds`.

    `rules` caches how labels are read, by tenant and owner, with the version of the stream.
    A new device gets an interval of `default_interval` minutes, None if it gets no schedule.
    """

    store: EventStore[ScaleBridgeEvent]
    pool: Pool
    seal: Seal
    policy: "Policy"
    work: "Work"
    breakers: "Breakers"
    zone: ZoneInfo
    clock: Clock
    catalogues: "CatalogueCache"
    hooks: Hooks
    operation_seconds: float = 120.0
    clear_on_upload: bool = False
    diagnose: bool = False
    diagnose_auto: bool = False
    default_interval: int | None = None
    rules: dict[str, tuple["Rules", int]] = field(default_factory=dict)


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
class ApiContext:
    """What routes work with. `reading` shows one tenant at a time and serves queries only."""

    settings: "Settings"
    context: Context
    completions: "CompletionWaiter"
    reading: Pool
    clock: Clock
    verifier: TokenVerifier
    revocations: Revocations
    consistency: Consistency
    telemetry: Telemetry
    doorbell: Doorbell


async def running(request: Request) -> ApiContext:
    """What the app was built with."""
    context: ApiContext = request.app.state.deps
    return context


Scales = Annotated[ApiContext, Depends(running)]

JSON: Final = "application/json"


class NotAuthenticated(Unauthenticated):
    """Not authenticated"""


class InvalidToken(Unauthenticated):
    """Invalid token"""


class Allowed(Permission):
    """Lets only callers with a scope in; says no as clients of the scales know it."""

    async def __call__(self, request: HTTPConnection) -> Principal:
        """The caller. Raises NotAuthenticated, InvalidToken, Forbidden, Unavailable."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated
        try:
            return await super().__call__(request)
        except Unauthenticated:
            raise InvalidToken from None


LISTED: Final = visible("device")
"""Lists show what was just done (§1.4)."""
WORKED: Final = visible("device", "operation")

Reader = Annotated[Principal, Depends(Allowed("scales:read"))]
Writer = Annotated[Principal, Depends(Allowed("scales:write"))]


def shape(told: Problem) -> Response:
    """`{"detail": …}` as ever, and beside it the stable `code`; nothing of what was sent (R16)."""
    said = told.fastapi_detail if told.fastapi_detail is not None else told.detail or told.title
    if isinstance(said, list):
        said = [{**fault, "input": None} for fault in said]
    headers = dict(told.headers)
    if told.type == InvalidToken.__name__:
        headers.pop("WWW-Authenticate", None)
    body = {"detail": encodable(said), "code": told.type}
    return JSONResponse(body, told.status, headers=headers)


def unfit(*faults: tuple[tuple[str, ...], str]) -> HTTPException:
    """422 in FastAPI's words, for rules it does not know: where, and what is wrong."""
    listed = [
        {"type": "value_error", "loc": ["body", *where], "msg": said, "input": None}
        for where, said in faults
    ]
    return HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, listed)


def request_metadata(request: Request, caller: Principal) -> Metadata:
    """On whose behalf a request appends."""
    return Metadata(
        tenant=caller.tenant,
        actor=caller.subject,
        correlation_id=request.scope["request_id"],
        traceparent=current_traceparent(),
    )


def problem(status: int, detail: str, code: str, retry_after: float | None = None) -> Response:
    """An answer to an operation that failed."""
    headers: dict[str, Any] = {}
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, round(retry_after)))
    return JSONResponse({"detail": detail, "code": code}, status, headers=headers)


async def own(scales: ApiContext, caller: Principal, number: int) -> "LoadedDevice":
    """The caller's device by its number; another's does not exist. Raises DeviceUnknown."""
    hooks = scales.context.hooks
    return await hooks.own_device(scales.context, caller, number)
