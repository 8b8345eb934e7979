"""Runs an operation while the client waits, and answers with its failure (R16, R22)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from fastapi import Response

from contracts.scale_bridge import DeviceId, OperationEnded, OperationId
from libs.eventsourcing.tokens import collect
from libs.http.auth import Principal
from services.scale_bridge.context import ApiContext, problem
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.operation import OperationRequest
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
"""HTTP statuses by the code of a failed operation; 503 for all other codes."""


async def run_and_wait(
    scales: ApiContext,
    caller: Principal,
    device_id: DeviceId,
    kind: Kind,
    *,
    full: bool = False,
    operation_id: OperationId | None = None,
) -> Response | None:
    """Queue an operation and wait for its end: None if it succeeded, else the answer.

    It holds no connection while it waits, and the operation goes on if the client leaves (R22). The
    events of the operation count as written by the request: see `collect`.
    """
    operation_id = operation_id or operation.new_id()
    request = OperationRequest(
        tenant=caller.tenant,
        device_id=device_id,
        operation_id=operation_id,
        kind=kind,
        asked_by=caller.subject,
        full=full,
    )
    await operation.enqueue(scales, request)
    ended = await scales.completions.wait(operation_id, scales.settings.answer_seconds)
    if ended is None:
        return problem(HTTPStatus.GATEWAY_TIMEOUT, LATE, "StillRunning")
    collect(ended.token)
    return answer(ended.event, scales.settings)


def answer(ended: OperationEnded, settings: "Settings") -> Response | None:
    """The answer for a failed operation; None if it succeeded."""
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
