"""From the bytes of a request to readings and faults, event by event.

The common case is decoded by msgspec straight into `Reading`; whatever that refuses goes through
Python's `json` and `domain.scan.read`, which says what is wrong. Where both accept they agree.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

import msgspec

from services.ingest.domain.scan import Fault, Reading, read

LONGEST_BATCH: Final = 100
LONGEST_VERIFY: Final = 1000

_MANY_DIGITS: Final = 4000
"""Python refuses longer integers as too slow to read."""

Event: TypeAlias = "msgspec.Raw | object"
"""One event of a batch: its bytes, or its JSON value if the batch had to be read leniently."""


class BadRequest(Exception):
    """The request as a whole cannot be understood; `details` says so in FastAPI's words.

    Never quotes the request: clients look for digits in the text of an error.
    """

    def __init__(self, kind: str, where: Sequence[str | int], said: str, **context: object) -> None:
        super().__init__(said)
        fault = {"type": kind, "loc": ["body", *where], "msg": said, "input": None}
        self.details = [fault | ({"ctx": context} if context else {})]


def read_batch(body: bytes) -> Sequence[Event]:
    """The events of `{"events": [...]}`, in order and unread. Raises BadRequest."""
    events = _batch(body)
    if not events:
        said = "List should have at least 1 item after validation, not 0"
        raise BadRequest("too_short", ["events"], said, min_length=1, actual_length=0)
    if len(events) > LONGEST_BATCH:
        raise _too_long("events", LONGEST_BATCH, len(events))
    return events


def reading_of(event: Event) -> Reading | Fault:
    """What an event says, or why it cannot be read."""
    if isinstance(event, msgspec.Raw):
        with suppress(msgspec.MsgspecError):
            return _reading_of(event)
    return read(value_of(event))


def value_of(event: Event) -> object:
    """The JSON value of an event, to keep it."""
    return load(bytes(event).decode()) if isinstance(event, msgspec.Raw) else event


def read_uuids(body: bytes) -> Sequence[str]:
    """The texts of `{"uuids": [...]}`, as written. Raises BadRequest."""
    uuids = _list(_loaded(body), "uuids")
    if not uuids:
        raise BadRequest("value_error", ["uuids"], "Value error, UUID list cannot be empty")
    if len(uuids) > LONGEST_VERIFY:
        raise _too_long("uuids", LONGEST_VERIFY, len(uuids))
    return list(_texts(uuids))


def not_json(why: str) -> BadRequest:
    """The refusal of a body that no JSON can be made of."""
    return BadRequest("json_invalid", [0], "JSON decode error", error=why)


def load(text: str) -> Any:
    """Decode JSON as leniently as can be: control characters, NaN, and endless numbers as texts.

    Raises ValueError, and RecursionError for what is nested too deep.
    """
    return _LENIENT.decode(text)


class _Batch(msgspec.Struct):
    events: list[msgspec.Raw]


_batch_of: Final = msgspec.json.Decoder(_Batch).decode
_reading_of: Final = msgspec.json.Decoder(Reading).decode
_LENIENT: Final = json.JSONDecoder(
    strict=False, parse_int=lambda digits: int(digits) if len(digits) < _MANY_DIGITS else digits
)


def _batch(body: bytes) -> Sequence[Event]:
    try:
        body.decode()  # msgspec skips over texts without looking
        return _batch_of(body).events
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _list(_loaded(body), "events")


def _loaded(body: bytes) -> object:
    try:
        # Bytes that are no UTF-8 become lone surrogates, which only their own event suffers for.
        return load(body.decode("utf-8-sig", "surrogateescape").strip())
    except (ValueError, RecursionError):
        raise not_json("not JSON, or nested too deep") from None


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, dict):
        said = "Input should be a valid dictionary or object to extract fields from"
        raise BadRequest("model_attributes_type", [], said)
    if name not in value:
        raise BadRequest("missing", [name], "Field required")
    if not isinstance(value[name], list):
        raise BadRequest("list_type", [name], "Input should be a valid list")
    found: list[object] = value[name]
    return found


def _texts(values: Iterable[object]) -> Iterator[str]:
    for n, value in enumerate(values):
        if not isinstance(value, str):
            raise BadRequest("string_type", ["uuids", n], "Input should be a valid string")
        yield value


def _too_long(name: str, longest: int, actual: int) -> BadRequest:
    said = f"List should have at most {longest} items after validation, not {actual}"
    return BadRequest("too_long", [name], said, max_length=longest, actual_length=actual)
