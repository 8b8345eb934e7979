"""The exchanges with one scale, each in the thread of the caller.

`Driver.run` runs them. All raise ScaleFault, and Stopped.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from services.scale_bridge.driver.adapters import catalogue_file
from services.scale_bridge.driver.adapters.connection import Limits
from services.scale_bridge.driver.adapters.deadline import Deadline, Stopped
from services.scale_bridge.driver.adapters.replies import Conversation, ProgressCallback
from services.scale_bridge.driver.adapters.safe_driver import SafeScales, fault_of
from services.scale_bridge.driver.domain import document as documents
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.document import STRICT, Document, Strictness
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
from services.scale_bridge.driver.domain.wire import WITHOUT_PASSWORD, Step

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
    """The scale to call, and the limits of the call. `progress` receives the bytes so far."""

    endpoint: Endpoint
    password: str
    limits: Limits
    deadline: Deadline
    progress: ProgressCallback | None = None


Exchange: TypeAlias = Callable[[Call], Result]

PROBE_SECONDS: Final = 15.0


def fetch(call: Call, *, strictness: Strictness = STRICT) -> Fetched:
    """Read the scale's catalogue, if it is valid (R5); the scale does not change."""
    conversation = Conversation(strictness=strictness, progress=call.progress)
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


def upload(call: Call, *, document: Document, clear: bool) -> Uploaded:
    """Send a catalogue; with `clear` it replaces the scale's, else the scale merges it.

    An invalid one is not sent. Returns only if the scale confirmed the import; after UnknownOutcome
    and Stopped it may have imported the catalogue or not (R4).
    """
    documents.check(document)
    file = documents.serialize(document)
    conversation = Conversation(total=len(file), progress=call.progress)
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
    """Read model and versions of the scale (FF17); needs no password."""
    body = command(call, step=Step.INFO)
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


def command(call: Call, *, step: Step) -> bytes:
    """The body of the reply to a command without data."""
    reply: bytes = _run(
        call,
        Conversation(),
        lambda scales: scales.command(step),
        needs_password=int(step, 16) not in WITHOUT_PASSWORD,
    )
    return reply


def _run(
    call: Call,
    conversation: Conversation,
    exchange: Callable[[SafeScales], Result],
    *,
    needs_password: bool = True,
) -> Result:
    scales: SafeScales | None = None
    try:
        password = _password(call) if needs_password else ""
        scales = _connected(call, password, conversation)
        return exchange(scales)
    except Exception as error:  # noqa: BLE001 -- the driver may raise anything
        # A confirmed import stays a success, whatever fails afterwards (R4, D7).
        if conversation.confirmed:
            return None  # type: ignore[return-value] # an upload returns nothing
        raise fault_of(scales, error) from None
    finally:
        if scales is not None:
            scales.close()


def _password(call: Call) -> str:
    """A valid password: without one, the stage byte would take its position in the frame."""
    try:
        return checked(call.password)
    except BadPassword:
        raise WrongPassword("No scale can have this password.") from None


def _connected(call: Call, password: str, conversation: Conversation) -> SafeScales:
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
