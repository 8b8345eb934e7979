"""Which answer a simulated scale gives to a request."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from services.scale_bridge.driver.adapters.wire import DONE, WORKING, Request, Step, packet
from services.scale_bridge.driver.domain.result_code import ResultCode
from services.scale_bridge.driver.simulator import export
from services.scale_bridge.driver.simulator.export import code
from services.scale_bridge.driver.simulator.scale import Memory, Scale
from services.scale_bridge.driver.simulator.upload import BadParameter, Upload, announced

WHY: Final = "Ошибка импорта: товар 2, поле price"
_UNHEARD_OF: Final = 0x03


def announce(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF13/02: a file is coming."""
    polls = None if scale.faults.bite("checkinf") else scale.options.checking
    try:
        memory.upload = announced(request.rest, polls)
    except BadParameter:
        return code(request, ResultCode.PARAMETER_WRONG)
    scale.unconfirmed = None
    return code(request, ResultCode.SUCCESS)


def store(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF13/03: a chunk. The last one also begins the import: nobody needs to ask for it."""
    if memory.upload is None:
        return code(request, ResultCode.NOT_INITIALISED)
    try:
        memory.upload.put(request.rest)
    except BadParameter:
        return code(request, ResultCode.PARAMETER_WRONG)
    if memory.upload.ended and not memory.upload.settled:
        _settle(scale, memory.upload)
    return code(request, ResultCode.SUCCESS)


def check(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF13/09: how did the import go?"""
    upload = memory.upload
    if upload is None:
        return code(request, ResultCode.NOT_INITIALISED)
    if scale.faults.bite("check7A"):
        return code(request, ResultCode.WRONG_PASSWORD)
    if scale.faults.bite("check3"):
        return _checked(request, _UNHEARD_OF)
    if upload.polls != 0:
        upload.polls = None if upload.polls is None else upload.polls - 1
        return _checked(request, WORKING)
    scale.unconfirmed = None
    if upload.status == DONE and scale.faults.bite("donemsg"):
        return _checked(request, DONE, "Готово")
    return _checked(request, upload.status, upload.says)


def _settle(scale: Scale, upload: Upload) -> None:
    upload.settled = True
    scale.size_orders.append(upload.size_order)
    file = upload.file()
    document = _catalogue(file) if file is not None else None
    if document is None:
        return
    why = _refused(scale, document)
    if why is not None:
        upload.says = why
        return
    upload.status = DONE
    if not scale.faults.bite("lie"):
        before = scale.base.document
        new = _derived(document) if scale.options.derives else document
        scale.base.replace_document(scale.base.imported(new, into=before, clear=upload.clear))
        scale.unconfirmed = (before, upload)


def _refused(scale: Scale, document: dict[str, Any]) -> str | None:
    """The scale's own text about an import that fails; None if it does not fail."""
    if scale.faults.bite("check2"):
        return ""
    if fault := scale.faults.bite("check2msg"):
        return fault.text or WHY
    if fault := scale.faults.find("badproduct"):
        plu, _, why = fault.text.partition(":")
        if any(str(item.get("pluNumber")) == plu for item in document["products"]):
            return why
    return None


def _derived(document: dict[str, Any]) -> dict[str, Any]:
    days = [
        {**item, "shelfLifeInDays": item["shelfLife"]} if "shelfLife" in item else item
        for item in document["products"]
    ]
    return {**document, "products": days}


def _checked(request: Request, status: int, says: str = "") -> bytes:
    text = says.encode()
    head = bytes([ResultCode.SUCCESS, status]) + len(text).to_bytes(2, "little")
    return packet(request.code, head + text)


def _catalogue(file: bytes) -> dict[str, Any] | None:
    """What the file says, if the scale can read it at all."""
    try:
        found = json.loads(file)
    except ValueError:
        return None
    products = found.get("products") if isinstance(found, dict) else None
    readable = isinstance(products, list) and all(isinstance(item, dict) for item in products)
    return found if readable else None


Answer: TypeAlias = Callable[[Scale, Request, Memory], bytes]

_ANSWERS: Final[Mapping[Step, Answer]] = {
    Step.CREATE: export.create,
    Step.CREATED: export.created,
    Step.HASH: export.begin_hash,
    Step.HASHED: export.hashed,
    Step.CHUNK: export.chunk,
    Step.ANNOUNCE: announce,
    Step.SEND: store,
    Step.CHECK: check,
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
