"""The reply of a simulated scale to each command (§4), spoiled by the faults it has.

A fetch exports the product base to a file, announces its hash and returns it in chunks. An upload
arrives in chunks and is imported when the last one is there.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import md5
from typing import Any, Final, TypeAlias

from services.scale_bridge.driver.domain.result_code import ResultCode
from services.scale_bridge.driver.domain.wire import DONE, WORKING, Request, Step, packet
from services.scale_bridge.driver.simulator.adapters.scale import Memory, Scale
from services.scale_bridge.driver.simulator.domain.faults import Faults
from services.scale_bridge.driver.simulator.domain.upload import BadParameter, Upload, announced

IMPORT_ERROR: Final = "Ошибка импорта: товар 2, поле price"
_UNDOCUMENTED_STATUS: Final = 0x03
_BOM: Final = b"\xef\xbb\xbf"
_FIRST_PRODUCT: Final = b'"products": [{'


def create(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF14: export the product base as it is now."""
    if scale.faults.trigger("ac14"):
        return _result(request, ResultCode.IN_PROGRESS)
    scale.unconfirmed = None
    memory.file = spoil(scale.base.export(), scale.faults)
    poll = scale.faults.trigger("poll")
    memory.polls = poll.number if poll else scale.options.creating
    memory.cursor = memory.sent = 0
    return _result(request, ResultCode.SUCCESS)


def created(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF15: whether the export is written."""
    if scale.faults.trigger("err15"):
        return _result(request, ResultCode.WRONG_PASSWORD)
    if memory.file is None:
        return _result(request, ResultCode.FILE_EMPTY)
    if memory.polls != 0:
        memory.polls = None if memory.polls is None else memory.polls - 1
        return _result(request, ResultCode.IN_PROGRESS)
    return _result(request, ResultCode.SUCCESS)


def begin_hash(_: Scale, request: Request, memory: Memory) -> bytes:
    """FF12/06: begin to compute the hash. Resets the cursor of the chunks."""
    memory.cursor = memory.sent = 0
    missing = memory.file is None
    return _result(request, ResultCode.FILE_EMPTY if missing else ResultCode.SUCCESS)


def hashed(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF12/07: the hash."""
    if memory.file is None:
        return _result(request, ResultCode.FILE_EMPTY)
    if scale.faults.trigger("hashshort"):
        return packet(request.code, bytes([ResultCode.SUCCESS, WORKING]))
    if scale.faults.trigger("hashbusy"):
        return packet(request.code, bytes([ResultCode.SUCCESS, WORKING]) + bytes(16))
    wrong = b"!" if scale.faults.trigger("badhash") else b""
    digest = md5(memory.file + wrong, usedforsecurity=False).digest()
    return packet(request.code, bytes([ResultCode.SUCCESS, DONE]) + digest)


def chunk(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF12/03: the next chunk, at the cursor."""
    if memory.file is None:
        return _result(request, ResultCode.FILE_EMPTY)
    if scale.faults.trigger("emptychunk"):
        return packet(request.code, bytes(8))
    data = memory.file[memory.cursor : memory.cursor + scale.options.chunk_bytes]
    head = memory.cursor.to_bytes(4, "little") + len(data).to_bytes(2, "little")
    last = memory.cursor + len(data) >= len(memory.file)
    # The second chunk is sent twice; the first, if there is no second.
    if (memory.sent or last) and scale.faults.trigger("dupchunk"):
        last = False
    else:
        memory.cursor += len(data)
    memory.sent += 1
    wrong = ResultCode.PARAMETER_WRONG if scale.faults.trigger("rcchunk") else ResultCode.SUCCESS
    data = data[:-1] if scale.faults.trigger("shortchunk") else data
    return packet(request.code, bytes([wrong, last]) + head + data)


def announce(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF13/02: announce an upload."""
    polls = None if scale.faults.trigger("checkinf") else scale.options.checking
    try:
        memory.upload = announced(request.rest, polls)
    except BadParameter:
        return _result(request, ResultCode.PARAMETER_WRONG)
    scale.unconfirmed = None
    return _result(request, ResultCode.SUCCESS)


def store(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF13/03: store a chunk. The last one starts the import, whether it is checked or not."""
    if memory.upload is None:
        return _result(request, ResultCode.NOT_INITIALISED)
    try:
        memory.upload.put(request.rest)
    except BadParameter:
        return _result(request, ResultCode.PARAMETER_WRONG)
    if memory.upload.ended and not memory.upload.imported:
        _import(scale, memory.upload)
    return _result(request, ResultCode.SUCCESS)


def check(scale: Scale, request: Request, memory: Memory) -> bytes:
    """FF13/09: the status of the import."""
    upload = memory.upload
    if upload is None:
        return _result(request, ResultCode.NOT_INITIALISED)
    if scale.faults.trigger("check7A"):
        return _result(request, ResultCode.WRONG_PASSWORD)
    if scale.faults.trigger("check3"):
        return _status(request, _UNDOCUMENTED_STATUS)
    if upload.polls != 0:
        upload.polls = None if upload.polls is None else upload.polls - 1
        return _status(request, WORKING)
    scale.unconfirmed = None
    if upload.status == DONE and scale.faults.trigger("donemsg"):
        return _status(request, DONE, "Готово")
    return _status(request, upload.status, upload.error)


def info(scale: Scale, _: Request, __: Memory) -> bytes:
    """FF17: model, versions and serial number, as JSON."""
    updated = scale.base.updated_at
    fields = {
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
    text = json.dumps(fields, ensure_ascii=False).encode()
    return packet(0x17, bytes([DONE]) + len(text).to_bytes(2, "little") + text)


Answer: TypeAlias = Callable[[Scale, Request, Memory], bytes]

_ANSWERS: Final[Mapping[Step, Answer]] = {
    Step.CREATE: create,
    Step.CREATED: created,
    Step.HASH: begin_hash,
    Step.HASHED: hashed,
    Step.CHUNK: chunk,
    Step.ANNOUNCE: announce,
    Step.SEND: store,
    Step.CHECK: check,
}


def answer(scale: Scale, request: Request, memory: Memory) -> bytes:
    """The body of the reply."""
    if request.step is None:
        return _result(request, ResultCode.UNKNOWN_COMMAND)
    if fault := scale.faults.trigger("rc", request.step):
        return packet(request.code, bytes([fault.number or 0]))
    # The one command without a password: a scale with another password answers it all the same.
    if request.step is Step.INFO:
        return info(scale, request, memory)
    if request.password != scale.options.password.encode() or scale.faults.trigger("pw"):
        return _result(request, ResultCode.WRONG_PASSWORD)
    if scale.faults.trigger("busy", request.step):
        return _result(request, ResultCode.BUSY)
    return _ANSWERS[request.step](scale, request, memory)


def ends_operation(step: Step | None, body: bytes) -> bool:
    """Whether this reply ends an operation: an error, the last chunk, or the end of an import."""
    result = body[4]
    if result != ResultCode.SUCCESS:
        return not (step is Step.CREATED and result == ResultCode.IN_PROGRESS)
    if step is Step.CHUNK:
        return body[5] == 1
    return step is Step.CHECK and body[5] != WORKING


def spoil(file: bytes, faults: Faults) -> bytes:
    """The file after the faults that damage it."""
    for name, damage in _DAMAGES.items():
        if faults.trigger(name):
            file = damage(file)
    return file


_DAMAGES: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "badjson": lambda file: file[:-2],
    "badutf8": lambda file: file[:-1] + b',"note": "\xff\xfe"}',
    "bom": lambda file: _BOM + file,
    "scalar": lambda _: b"42",
    "list": lambda file: b"[" + file + b"]",
    "nan": lambda file: file.replace(b'"price": ', b'"price": NaN, "was": ', 1),
    "dupkeys": lambda file: file.replace(_FIRST_PRODUCT, _FIRST_PRODUCT + b'"name": "twice", ', 1),
}


def _import(scale: Scale, upload: Upload) -> None:
    upload.imported = True
    scale.size_orders.append(upload.size_order)
    file = upload.file()
    document = _catalogue(file) if file is not None else None
    if document is None:
        return
    error = _import_error(scale, document)
    if error is not None:
        upload.error = error
        return
    upload.status = DONE
    if not scale.faults.trigger("lie"):
        before = scale.base.document
        new = _with_days(document) if scale.options.derives else document
        scale.base.replace_document(scale.base.imported(new, into=before, clear=upload.clear))
        scale.unconfirmed = (before, upload)


def _import_error(scale: Scale, document: dict[str, Any]) -> str | None:
    """The scale's own text about an import that fails; None if it does not fail."""
    if scale.faults.trigger("check2"):
        return ""
    if fault := scale.faults.trigger("check2msg"):
        return fault.text or IMPORT_ERROR
    if fault := scale.faults.find("badproduct"):
        plu, _, error = fault.text.partition(":")
        if any(str(item.get("pluNumber")) == plu for item in document["products"]):
            return error
    return None


def _with_days(document: dict[str, Any]) -> dict[str, Any]:
    """The catalogue with the shelf lives in days that some scales compute."""
    products = [
        {**item, "shelfLifeInDays": item["shelfLife"]} if "shelfLife" in item else item
        for item in document["products"]
    ]
    return {**document, "products": products}


def _catalogue(file: bytes) -> dict[str, Any] | None:
    """The catalogue in a file, None if the scale cannot read it."""
    try:
        document = json.loads(file)
    except ValueError:
        return None
    products = document.get("products") if isinstance(document, dict) else None
    readable = isinstance(products, list) and all(isinstance(item, dict) for item in products)
    return document if readable else None


def _result(request: Request, result: ResultCode) -> bytes:
    """A reply that consists of a result code."""
    return packet(request.code, bytes([result]))


def _status(request: Request, status: int, error: str = "") -> bytes:
    """A reply to a check: status and text."""
    text = error.encode()
    head = bytes([ResultCode.SUCCESS, status]) + len(text).to_bytes(2, "little")
    return packet(request.code, head + text)
