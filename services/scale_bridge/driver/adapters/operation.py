"""One operation on one scale from beginning to end, in a thread: it returns or says what failed."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from services.scale_bridge.driver.adapters import catalogue_file
from services.scale_bridge.driver.adapters.deadline import Deadline, Stopped
from services.scale_bridge.driver.adapters.line import Limits
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
    """What a scale has: an accepted catalogue, and the file it was read from, byte by byte."""

    document: Document
    file: bytes
    md5: str
    items: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploaded:
    """What the scale said it imported. `md5` and `size` are of the bytes that were sent."""

    md5: str
    items: int
    size: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Info:
    """What a scale says of itself; empty where it says nothing. `fields` is all of it."""

    model: str
    serial: str
    version: str
    protocol: str
    updated: str
    fields: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """Whom to call, and within what."""

    endpoint: Endpoint
    password: str
    limits: Limits
    countdown: Deadline


def fetch(call: Call, strictness: Strictness, progress: Progress | None) -> Fetched:
    """Read the scale's catalogue. Changes nothing on it. Raises ScaleFault, Stopped."""
    conversation = Conversation(strictness=strictness, progress=progress)
    file: bytes = _run(call, conversation, lambda scales: scales.get_products_json())
    if strictness.hash and not conversation.hash_is_right():
        raise BadCatalogue(Flaw.HASH, "The scale's file does not have the hash it announced.")
    document = catalogue_file.read(file, strictness)
    # Reading a large file takes its time and cannot be interrupted.
    call.countdown.left()
    return Fetched(
        document=document,
        file=file,
        md5=conversation.md5(),
        items=len(document["products"]),
        seconds=call.countdown.elapsed,
    )


def upload(call: Call, document: Document, *, clear: bool, progress: Progress | None) -> Uploaded:
    """Send a catalogue. Raises ScaleFault, Stopped; nothing is sent if it is no catalogue.

    After UnknownOutcome the scale may have imported it or not; so may it after Stopped.
    """
    documents.check(document)
    file = documents.written(document)
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
        seconds=call.countdown.elapsed,
    )


def probe(call: Call) -> Info:
    """Ask the scale what it is: no password, nothing changes. Raises ScaleFault, Stopped."""
    body: bytes = _run(call, Conversation(), lambda scales: scales.information())
    try:
        fields = json.loads(body[7:].decode())
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or int.from_bytes(body[5:7], "little") != len(body) - 7:
        raise BadAnswer("The scale's information cannot be read.")
    return Info(
        model=_word(fields, "scaleModel"),
        serial=_word(fields, "serialNumber"),
        version=_word(fields, "scaleAppVersion"),
        protocol=_word(fields, "protocolVersion"),
        updated=_word(fields, "productUpdateDateTime"),
        fields=fields,
        seconds=call.countdown.elapsed,
    )


def _run(call: Call, talk: Conversation, order: Callable[[SafeScales], Result]) -> Result:
    scales: SafeScales | None = None
    try:
        scales = _called(call, talk)
        return order(scales)
    except Exception as error:  # noqa: BLE001 -- the driver may raise anything
        # Once the scale has confirmed, nothing can make it undone (R4, D7).
        if talk.confirmed:
            return None  # type: ignore[return-value] # an upload returns nothing
        raise fault_of(scales, error) from None
    finally:
        if scales is not None:
            scales.close()


def _called(call: Call, conversation: Conversation) -> SafeScales:
    try:
        password = checked(call.password) if call.password else ""
    except BadPassword:
        raise WrongPassword("No scale can have this password.") from None
    return SafeScales(
        call.endpoint,
        password,
        limits=call.limits,
        countdown=call.countdown,
        conversation=conversation,
    )


def _word(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    return one_line(str(value), 100) if isinstance(value, str | int | float) else ""
