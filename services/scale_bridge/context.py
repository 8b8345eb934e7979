"""The frame of the service: the contexts of commands and of routes, and what all routes share.

No subject is imported here; their types are imported for the type checker only.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Depends, HTTPException, Response
from fastapi.responses import JSONResponse
from starlette.requests import HTTPConnection

from contracts.scale_bridge import DeviceId, OperationId, ScaleBridgeEvent
from libs.errors import Unauthenticated
from libs.eventsourcing.log import Metadata
from libs.http.auth import Permission, Principal
from libs.http.metadata import metadata_of
from libs.http.shapes import CODED, ErrorRow
from libs.http.visible import caught_up, visible
from libs.jobs.completion import CompletionWaiter
from libs.postgres.pool import Pool
from libs.process import context as frame

if TYPE_CHECKING:
    from services.scale_bridge.barcodes.domain import Rules
    from services.scale_bridge.catalogue.stores.cache import CatalogueCache
    from services.scale_bridge.devices.handlers.device import LoadedDevice
    from services.scale_bridge.operations.handlers.operation import Ended
    from services.scale_bridge.operations.stores.work import Job
    from services.scale_bridge.settings import Settings  # noqa: F401 -- named in base classes


class AfterFetch(Protocol):
    """Runs after a job has read a catalogue from its scale. Safe to repeat.

    `since` is the revision at which the fetch was queued; `sends` allows an upload to follow.
    Raises Unavailable, LogUnavailable.
    """

    async def __call__(
        self, context: "Context", job: "Job", *, since: int | None, sends: bool
    ) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Hooks:
    """Functions of upper subjects that lower ones call; bootstrap connects them.

    `own_device`: a device of the caller by its number. `on_registered`: runs after a device is
    registered. `pending_fetches`: the operations that may replace a device's catalogue.
    `schedule_zone`: the zone of a device's calendar. `agent_kinds`: the kinds of the tasks that
    agents have of an operation. `bridge_owner`: the account that enrolled an agent.
    """

    own_device: Callable[["Context", Principal, int], Awaitable["LoadedDevice"]]
    on_registered: Callable[["Context", DeviceId, Metadata], Awaitable[None]]
    after_fetch: AfterFetch
    pending_fetches: Callable[["Context", str, DeviceId], Awaitable[frozenset[OperationId]]]
    schedule_zone: Callable[["Context", str, DeviceId], Awaitable[ZoneInfo | None]]
    agent_kinds: Callable[[Pool, str, OperationId], Awaitable[Collection[str]]]
    bridge_owner: Callable[[Pool, str, UUID], Awaitable[UUID | None]]


@dataclass(frozen=True, kw_only=True)
class Context(frame.Context["Settings", ScaleBridgeEvent]):
    """What commands work with. `rules` caches barcode rules by tenant and owner, each with the
    version of their stream.
    """

    catalogues: "CatalogueCache"
    hooks: Hooks
    rules: dict[str, tuple["Rules", int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ApiContext(frame.ApiContext["Settings", ScaleBridgeEvent], Context):
    """What routes work with, and the commands that they give."""

    completions: "CompletionWaiter[OperationId, Ended]"


Scales = Annotated[ApiContext, Depends(frame.running)]

JSON: Final = "application/json"


class NotAuthenticated(Unauthenticated):
    """Not authenticated"""


class InvalidToken(Unauthenticated):
    """Invalid token"""


class Allowed(Permission):
    """Requires a token with a scope; its refusals have the texts of the specification."""

    async def __call__(self, request: HTTPConnection) -> Principal:
        """The caller. Raises NotAuthenticated, InvalidToken, Forbidden, Unavailable."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated
        try:
            return await super().__call__(request)
        except Unauthenticated:
            raise InvalidToken from None


DEVICES_VISIBLE: Final = visible("device")
"""Waits until lists show what the request changed (§1.4)."""
OPERATIONS_VISIBLE: Final = visible("device", "operation")

READS: Final = Allowed("scales:read")
Reader = Annotated[Principal, Depends(READS)]
WRITES: Final = Allowed("scales:write")
Writer = Annotated[Principal, Depends(WRITES)]
Authored = Annotated[Metadata, metadata_of(WRITES)]
"""The metadata of what a writer appends."""

fresh: Final = partial(caught_up, of=READS)


SHAPE: Final = CODED.with_rows(
    {InvalidToken: ErrorRow(401, "InvalidToken", "Invalid token", headers={})}
)
"""`{"detail": …, "code": …}` with a stable code, and nothing of the request (R16)."""


def unfit(*faults: tuple[tuple[str, ...], str]) -> HTTPException:
    """422 in the shape of FastAPI, for rules it does not know: paths in the body, and messages."""
    errors = [
        {"type": "value_error", "loc": ["body", *path], "msg": message, "input": None}
        for path, message in faults
    ]
    return HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, errors)


def problem(status: int, detail: str, code: str, retry_after: float | None = None) -> Response:
    """The answer for a failed operation; `retry_after` is in seconds."""
    headers: dict[str, Any] = {}
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, round(retry_after)))
    return JSONResponse({"detail": detail, "code": code}, status, headers=headers)


async def own_device(scales: ApiContext, caller: Principal, number: int) -> "LoadedDevice":
    """A device of the caller by its number. Raises DeviceUnknown, also for another owner's."""
    return await scales.hooks.own_device(scales, caller, number)
