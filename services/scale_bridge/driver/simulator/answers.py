"""Which answer a simulated scale gives to a request."""

import json
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from services.scale_bridge.driver.adapters.wire import DONE, WORKING, Request, Step, packet
from services.scale_bridge.driver.domain.result_code import ResultCode
from services.scale_bridge.driver.simulator import export, intake
from services.scale_bridge.driver.simulator.scale import Memory, Scale

Answer: TypeAlias = Callable[[Scale, Request, Memory], bytes]

_ANSWERS: Final[Mapping[Step, Answer]] = {
    Step.CREATE: export.create,
    Step.CREATED: export.created,
    Step.HASH: export.begin_hash,
    Step.HASHED: export.hashed,
    Step.CHUNK: export.chunk,
    Step.ANNOUNCE: intake.announce,
    Step.SEND: intake.store,
    Step.CHECK: intake.check,
}


def answer(scale: Scale, request: Request, memory: Memory) -> bytes:
    """The body of the reply."""
    if request.step is None:
        return export.code(request, ResultCode.UNKNOWN_COMMAND)
    if fault := scale.faults.bite("rc", request.step):
        return packet(request.code, bytes([fault.number or 0]))
    # The one command without a password: a scale with another password answers it all the same.
    if request.step is Step.INFO:
        return _info(scale)
    if request.password != scale.options.password.encode() or scale.faults.bite("pw"):
        return export.code(request, ResultCode.WRONG_PASSWORD)
    if scale.faults.bite("busy", request.step):
        return export.code(request, ResultCode.BUSY)
    return _ANSWERS[request.step](scale, request, memory)


def ends(step: Step | None, body: bytes) -> bool:
    """Whether an operation is over with this reply: it went wrong, or this was the last one."""
    result = body[4]
    if result != ResultCode.SUCCESS:
        return not (step is Step.CREATED and result == ResultCode.IN_PROGRESS)
    if step is Step.CHUNK:
        return body[5] == 1
    return step is Step.CHECK and body[5] != WORKING


def _info(scale: Scale) -> bytes:
    updated = scale.base.updated_at
    told = {
        "serviceAppVersion": "1.4.2",
        "serviceAppBuildDate": "2025-06-10",
        "scaleAppVersion": "2.11.0",
        "scaleModel": scale.options.model,
        "serialNumber": scale.options.serial,
        "androidVersion": "11",
        "protocolVersion": "0.16",
        "productUpdateDateTime": f"{updated:%d-%m-%y %H:%M:%S}" if updated else "",
        "networkInfo": {"type": "ethernet"},
    }
    text = json.dumps(told, ensure_ascii=False).encode()
    return packet(0x17, bytes([DONE]) + len(text).to_bytes(2, "little") + text)
