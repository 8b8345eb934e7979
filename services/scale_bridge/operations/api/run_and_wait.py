"""Having something done with a scale while a client waits, and how a failure is said (R16, R22)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from fastapi import Response

from contracts.scale_bridge import DeviceId, OperationEnded, OperationId
from libs.eventsourcing.tokens import collect
from libs.http.auth import Principal
from services.scale_bridge.context import ApiContext, problem
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.requests import OperationRequest
from services.scale_bridge.transfer.domain import failure_texts
from services.scale_bridge.transfer.domain.commands import Outcome
from services.scale_bridge.transfer.domain.kinds import Kind

if TYPE_CHECKING:
    from services.scale_bridge.settings import Settings

LATE: Final = "Операция ещё выполняется; результат появится позже."

STATUS: Final[Mapping[str, int]] = {
    failure_texts.BUSY: HTTPStatus.CONFLICT,
    failure_texts.NOTHING_CACHED: HTTPStatus.CONFLICT,
    failure_texts.MOVED: HTTPStatus.CONFLICT,
    failure_texts.EDITED_MEANWHILE: HTTPStatus.CONFLICT,
    failure_texts.BAD_ADDRESS: HTTPStatus.UNPROCESSABLE_ENTITY,
    failure_texts.DEVICE_UNKNOWN: HTTPStatus.NOT_FOUND,
    failure_texts.NOT_BEGUN: HTTPStatus.GATEWAY_TIMEOUT,
    failure_texts.NO_REPORT: HTTPStatus.GATEWAY_TIMEOUT,
    "Timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "BadCatalogue": HTTPStatus.BAD_GATEWAY,
}
"""By the code of an operation; all others are 503, as they always were."""


async def run_and_wait(
    scales: ApiContext,
    caller: Principal,
    device_id: DeviceId,
    kind: Kind,
    *,
    full: bool = False,
    operation_id: OperationId | None = None,
) -> Response | None:
    """Order something and wait for its end: None if it went well, else the answer.

    Holds nothing while it waits; a client that leaves stops nothing (R22). What the operation wrote
    counts as written by the request: see `collect`.
    """
    operation_id = operation_id or operation.new_id()
    ordered = OperationRequest(
        tenant=caller.tenant,
        device_id=device_id,
        operation_id=operation_id,
        kind=kind,
        asked_by=caller.subject,
        full=full,
    )
    await operation.enqueue(scales.context, ordered)
    ended = await scales.completions.wait(operation_id, scales.settings.answer_seconds)
    if ended is None:
        return problem(HTTPStatus.GATEWAY_TIMEOUT, LATE, "StillRunning")
    collect(ended.token)
    return answer(ended.event, scales.settings)


def answer(ended: OperationEnded, settings: "Settings") -> Response | None:
    """What a client reads of a failed operation; None if it did not fail."""
    if ended.outcome in (Outcome.DONE, Outcome.VERIFIED):
        return None
    status = STATUS.get(ended.code, HTTPStatus.SERVICE_UNAVAILABLE)
    detail = ended.detail or failure_texts.sentence(ended.code, ended.outcome)
    return problem(status, detail, ended.code, _retry_after(ended.code, settings))


def _retry_after(code: str, settings: "Settings") -> float | None:
    match code:
        case failure_texts.CIRCUIT_OPEN:
            return settings.breaker_seconds
        case failure_texts.BUSY | "ScaleBusy" | "Overloaded":
            return settings.busy_seconds
        case _:
            return None
