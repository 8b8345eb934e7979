"""One operation on one scale, in the thread of the caller."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from services.scale_bridge.driver.adapters import catalogue_file
from services.scale_bridge.driver.adapters.connection import Limits
from services.scale_bridge.driver.adapters.deadline import Deadline, Stopped
from services.scale_bridge.driver.adapters.replies import Conversation, Progress
from services.scale_bridge.driver.adapters.safe_driver import SafeScales, fault_of
from services.scale_bridge.driver.domain import document as documents
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.document import Document, Strictness
from services.scale_bridge.driver.domain.fault import (
    BadAnswer,
    BadCatalogue,
    Flaw,
    TransportFault,
    UnknownOutcome,
    WrongPassword,
)
from services.scale_bridge.driver.domain.password import BadPassword, checked
from services.scale_bridge.driver.domain.plain_text import one_line

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """The catalogue a scale holds, and the bytes of the file it was read from."""

    document: Document
    file: bytes
    md5: str
    items: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploaded:
    """An import the scale confirmed. `md5` and `size` are of the bytes that were sent."""

    md5: str
    items: int
    size: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Info:
    """The reply to a probe. A missing field is empty; `fields` is the whole reply."""

    model: str
    serial: str
    version: str
    protocol: str
    updated: str
    fields: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """The scale to call, and the limits of the call."""

    endpoint: Endpoint
    password: str
    limits: Limits
    deadline: Deadline


def fetch(call: Call, strictness: Strictness, progress: Progress | None) -> Fetched:
    """Read the scale's catalogue; the scale does not change. Raises ScaleFault, Stopped."""
    conversation = Conversation(strictness=strictness, progress=progress)
    file: bytes = _run(call, conversation, lambda scales: scales.get_products_json())
    if strictness.hash and not conversation.hash_is_right():
        raise BadCatalogue(Flaw.HASH, "The scale's file does not have the hash it announced.")
    document = catalogue_file.parse(file, strictness)
    # Parsing a large file takes long and cannot be interrupted.
    call.deadline.left()
    return Fetched(
        document=document,
        file=file,
        md5=conversation.md5(),
        items=len(document["products"]),
        seconds=call.deadline.elapsed,
    )


def upload(call: Call, document: Document, *, clear: bool, progress: Progress | None) -> Uploaded:
    """Send a catalogue; an invalid one is not sent. Raises ScaleFault, Stopped.

    After UnknownOutcome and Stopped the scale may have imported the catalogue or not.
    """
    documents.check(document)
    file = documents.serialize(document)
    conversation = Conversation(total=len(file), progress=progress)
    try:
        _run(call, conversation, lambda scales: scales.send_json_products(document, clear))
    except (TransportFault, Stopped) as fault:
        if not conversation.all_sent:
            raise
        raise UnknownOutcome from fault
    return Uploaded(
        md5=documents.digest(file),
        items=len(document["products"]),
        size=len(file),
        seconds=call.deadline.elapsed,
    )


def probe(call: Call) -> Info:
    """Read model and versions, without a password. Raises ScaleFault, Stopped."""
    body: bytes = _run(call, Conversation(), lambda scales: scales.information())
    try:
        fields = json.loads(body[7:].decode())
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or int.from_bytes(body[5:7], "little") != len(body) - 7:
        raise BadAnswer("The scale's information cannot be read.")
    return Info(
        model=_text(fields, "scaleModel"),
        serial=_text(fields, "serialNumber"),
        version=_text(fields, "scaleAppVersion"),
        protocol=_text(fields, "protocolVersion"),
        updated=_text(fields, "productUpdateDateTime"),
        fields=fields,
        seconds=call.deadline.elapsed,
    )


def _run(
    call: Call, conversation: Conversation, exchange: Callable[[SafeScales], Result]
) -> Result:
    scales: SafeScales | None = None
    try:
        scales = _connected(call, conversation)
        return exchange(scales)
    except Exception as error:  # noqa: BLE001 -- the driver may raise anything
        # A confirmed import stays a success, whatever fails afterwards (R4, D7).
        if conversation.confirmed:
            return None  # type: ignore[return-value] # an upload returns nothing
        raise fault_of(scales, error) from None
    finally:
        if scales is not None:
            scales.close()


def _connected(call: Call, conversation: Conversation) -> SafeScales:
    try:
        password = checked(call.password) if call.password else ""
    except BadPassword:
        raise WrongPassword("No scale can have this password.") from None
    return SafeScales(
        call.endpoint,
        password,
        limits=call.limits,
        deadline=call.deadline,
        conversation=conversation,
    )


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    return one_line(str(value), 100) if isinstance(value, str | int | float) else ""
