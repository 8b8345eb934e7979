"""Parses the bytes of a request into readings and faults, event by event.

msgspec decodes an event of the right shape into `Reading`. An event that it rejects is decoded by
Python's `json` and checked by `domain.scan.parse_event`, which names the fault. Both give the same
result where both accept. (Batches without faults and rarities take the fast path of `scan`.)

A body longer than `LARGE_BODY` is never decoded at once: a few bytes of JSON may become a hundred
bytes of objects. It is split into its elements, at most as many as are allowed, in steps between
which the event loop runs.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final, TypeAlias

import msgspec

from services.ingest.scans.domain.scan import RAW_LIMIT, Fault, Reading, parse_event

LONGEST_BATCH: Final = 100
LONGEST_VERIFY: Final = 1000

LARGE_BODY: Final = 1024 * 1024
"""The most bytes of a body, or of one event, that are decoded at once."""

TOKENS_AT_A_TIME: Final = 2000
"""Tokens (strings, brackets, commas) of a large body between two pauses: about 0.5 ms."""

DEEPEST: Final = 1000
"""The deepest nesting; Python's own decoder fails near it."""

_MAX_DIGITS: Final = 4000
"""Python refuses to parse integers that are longer."""

Event: TypeAlias = "msgspec.Raw | object"
"""One event of a batch: its bytes, or its JSON value if the batch had to be read leniently."""


class BadRequest(Exception):
    """The request as a whole is invalid; `details` has FastAPI's form.

    It never quotes the request: clients search error texts for digits.
    """

    def __init__(
        self, kind: str, where: Sequence[str | int], message: str, **context: object
    ) -> None:
        super().__init__(message)
        fault = {"type": kind, "loc": ["body", *where], "msg": message, "input": None}
        self.details = [fault | ({"ctx": context} if context else {})]


def read_batch(body: bytes) -> Sequence[Event]:
    """The events of `{"events": [...]}` in order, not decoded. Raises BadRequest."""
    return _checked_batch(_batch(body))


async def split_batch(body: bytes) -> Sequence[Event]:
    """As `read_batch` for a large body, in steps. An event may turn out to be no JSON later."""
    return _checked_batch(await _in_steps(_elements(body, "events", LONGEST_BATCH)))


def reading_of(event: Event) -> Reading | Fault:
    """The reading of an event, or its fault."""
    if isinstance(event, msgspec.Raw):
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            return _reading_of(event)
        if _is_large(event):
            return Fault(code="too_long", reason="the event is too long, and not read")
    return parse_event(value_of(event))


def value_of(event: Event) -> object:
    """The JSON value of an event. Raises BadRequest if an event of a large body is no JSON."""
    if not isinstance(event, msgspec.Raw):
        return event
    try:
        return load_json(bytes(event).decode("utf-8", "surrogateescape"))
    except ValueError:
        raise _no_json() from None


def evidence_of(event: Event) -> tuple[str, object]:
    """The stored JSON of an event that is no scan, and a value that identifies its content.

    The JSON is ASCII; of a large event only the start is stored. Raises as `value_of`.
    """
    if isinstance(event, msgspec.Raw) and _is_large(event):
        start = bytes(memoryview(event)[: RAW_LIMIT + 1]).decode("utf-8", "surrogateescape")
        # As JSON escapes non-ASCII; quotation marks stay.
        ascii_start = _NOT_ASCII.sub(lambda letter: json.dumps(letter[0])[1:-1], start)
        return ascii_start, hashlib.sha256(event).hexdigest()
    value = value_of(event)
    return json.dumps(value), value


async def read_uuids(body: bytes) -> Sequence[str]:
    """The texts of `{"uuids": [...]}`, as written. Raises BadRequest."""
    uuids = await _uuids(body)
    if not uuids:
        raise BadRequest("value_error", ["uuids"], "Value error, UUID list cannot be empty")
    if len(uuids) > LONGEST_VERIFY:
        raise _too_long("uuids", LONGEST_VERIFY, len(uuids))
    return list(_texts(uuids))


def not_json(why: str) -> BadRequest:
    """The error for a body that is no JSON."""
    return BadRequest("json_invalid", [0], "JSON decode error", error=why)


def _no_json() -> BadRequest:
    return not_json("not JSON, or nested too deep")


def load_json(text: str) -> Any:
    """Decode JSON leniently: control characters, NaN, and very long numbers as texts.

    Raises ValueError, and RecursionError for deep nesting.
    """
    return _LENIENT.decode(text)


class _Batch(msgspec.Struct):
    events: list[msgspec.Raw]


_batch_of: Final = msgspec.json.Decoder(_Batch).decode
_reading_of: Final = msgspec.json.Decoder(Reading).decode
_LENIENT: Final = json.JSONDecoder(
    strict=False, parse_int=lambda digits: int(digits) if len(digits) < _MAX_DIGITS else digits
)


def _checked_batch(events: Sequence[Event]) -> Sequence[Event]:
    if not events:
        message = "List should have at least 1 item after validation, not 0"
        raise BadRequest("too_short", ["events"], message, min_length=1, actual_length=0)
    if len(events) > LONGEST_BATCH:
        raise _too_long("events", LONGEST_BATCH, len(events))
    return events


def _batch(body: bytes) -> Sequence[Event]:
    try:
        body.decode()  # msgspec does not check texts it skips
        return _batch_of(body).events
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _list(_loaded(body), "events")


async def _uuids(body: bytes) -> Sequence[object]:
    if len(body) <= LARGE_BODY:
        return _list(_loaded(body), "uuids")
    elements = await _in_steps(_elements(body, "uuids", LONGEST_VERIFY))
    # Only texts are decoded; anything else is refused anyway.
    return [_loaded(bytes(one)) if memoryview(one)[0] == _QUOTE else None for one in elements]


def _loaded(body: bytes) -> object:
    try:
        # Invalid UTF-8 becomes lone surrogates, which make only their own event a fault.
        return load_json(body.decode("utf-8-sig", "surrogateescape").strip())
    except (ValueError, RecursionError):
        raise _no_json() from None


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, dict):
        raise _no_object()
    if name not in value:
        raise _missing(name)
    if not isinstance(value[name], list):
        raise _no_list(name)
    values: list[object] = value[name]
    return values


def _texts(values: Iterable[object]) -> Iterator[str]:
    for n, value in enumerate(values):
        if not isinstance(value, str):
            raise BadRequest("string_type", ["uuids", n], "Input should be a valid string")
        yield value


def _no_object() -> BadRequest:
    message = "Input should be a valid dictionary or object to extract fields from"
    return BadRequest("model_attributes_type", [], message)


def _missing(name: str) -> BadRequest:
    return BadRequest("missing", [name], "Field required")


def _no_list(name: str) -> BadRequest:
    return BadRequest("list_type", [name], "Input should be a valid list")


def _too_long(name: str, longest: int, actual: int | None) -> BadRequest:
    """FastAPI's error; `actual` is None if the elements were not counted to the end."""
    message = f"List should have at most {longest} items after validation, not {actual or 'more'}"
    return BadRequest("too_long", [name], message, max_length=longest, actual_length=actual)


# Large bodies. Each generator yields for a pause, and returns its result.

Steps: TypeAlias = Generator[None, None, int]

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
# A part of a text, and the closing quotation mark if the part ends there.
_TEXT: Final = re.compile(rb'(?>[^"\\]+|\\.){0,%d}+("?)' % TOKENS_AT_A_TIME, re.DOTALL)
# Inside a value only brackets matter; the rest is skipped part by part.
_INSIDE: Final = re.compile(
    rb'(?>[^"\[\]{}]+|"(?>[^"\\]+|\\.){0,99}+"|\[[^"\[\]{}]*+\]|\{\}){0,%d}+(["\[\]{}]?)'
    % TOKENS_AT_A_TIME,
    re.DOTALL,
)
_SCALAR: Final = re.compile(rb'[^][{}",:\s]+')
_QUOTE: Final = ord('"')
_DEPTH: Final = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
_NOT_ASCII: Final = re.compile("[^\0-\x7f]")
_BOM: Final = b"\xef\xbb\xbf"


async def _in_steps(
    work: Generator[None, None, Sequence[msgspec.Raw]],
) -> Sequence[msgspec.Raw]:
    while True:
        try:
            next(work)
        except StopIteration as done:
            elements: Sequence[msgspec.Raw] = done.value
            return elements
        await asyncio.sleep(0)


def _elements(body: bytes, name: str, most: int) -> Generator[None, None, Sequence[msgspec.Raw]]:
    """The elements of the list `name` of the object `body`, not decoded.

    Raises BadRequest, also for more than `most` elements.
    """
    elements: list[msgspec.Raw] | None = None
    at = _past_space(body, len(_BOM) if body[: len(_BOM)] == _BOM else 0)
    if body[at : at + 1] != b"{":
        raise _no_object()
    inside = _past_space(body, at + 1)
    if body[inside : inside + 1] == b"}":
        raise _missing(name)
    while body[at : at + 1] in (b"{", b","):
        matches, at = yield from _key_end(body, _past_space(body, at + 1), name)
        if not matches:
            at = yield from _value_end(body, at)
        elif body[at : at + 1] != b"[":
            raise _no_list(name)
        else:
            elements = []
            at = yield from _list_end(body, at, elements, most)
            if len(elements) > most:
                raise _too_long(name, most, None)
        at = _past_space(body, at)
    return _complete(body, at, elements, name)


def _key_end(body: bytes, at: int, name: str) -> Generator[None, None, tuple[bool, int]]:
    """Whether the key at `at` is `name`, and the position of its value."""
    if body[at : at + 1] != b'"':
        raise _no_json()
    end = yield from _text_end(body, at)
    colon = _past_space(body, end)
    if body[colon : colon + 1] != b":":
        raise _no_json()
    # With every character escaped it is six times as long.
    matches = end - at <= 6 * len(name) + 2 and _loaded(body[at:end]) == name
    return matches, _past_space(body, colon + 1)


def _complete(
    body: bytes, at: int, elements: list[msgspec.Raw] | None, name: str
) -> list[msgspec.Raw]:
    """The elements, if the object ends at `at` and the body behind it."""
    if body[at : at + 1] != b"}" or _past_space(body, at + 1) != len(body):
        raise _no_json()
    if elements is None:
        raise _missing(name)
    return elements


def _list_end(body: bytes, at: int, elements: list[msgspec.Raw], most: int) -> Steps:
    """The position behind the list at `at`; adds its elements, at most `most` + 1."""
    begin = _past_space(body, at + 1)
    if body[begin : begin + 1] == b"]":
        return begin + 1
    while True:
        end = yield from _value_end(body, begin)
        elements.append(msgspec.Raw(memoryview(body)[begin:end]))
        if body[end : end + 1] == b"]" or len(elements) > most:
            return end + 1
        if body[end : end + 1] != b",":
            raise _no_json()
        yield
        begin = _past_space(body, end + 1)


def _value_end(body: bytes, at: int) -> Steps:
    """The position of the comma or bracket behind the value at `at`."""
    sign = body[at : at + 1]
    end = at
    if sign in (b"[", b"{"):
        end = yield from _container_end(body, at)
    elif sign == b'"':
        end = yield from _text_end(body, at)
    elif scalar := _SCALAR.match(body, at):
        end = scalar.end()
    if end == at:
        raise _no_json()
    return _past_space(body, end)


def _container_end(body: bytes, at: int) -> Steps:
    """The position behind the list or object at `at`."""
    depth, at = 1, at + 1
    for step in count(1):
        part = _INSIDE.match(body, at)
        if part is None or part.end() == at or depth > DEEPEST:
            break
        at = part.end()
        if part[1] == b'"':
            at = yield from _text_end(body, at - 1)
        depth += _DEPTH.get(part[1], 0)
        if not depth:
            return at
        if not part[1] or step % TOKENS_AT_A_TIME == 0:
            yield
    raise _no_json()


def _text_end(body: bytes, at: int) -> Steps:
    """The position behind the text at `at` and its closing quotation mark."""
    at += 1
    while (part := _TEXT.match(body, at)) and part.end() > at:
        at = part.end()
        if part[1]:
            return at
        yield
    raise _no_json()


def _past_space(body: bytes, at: int) -> int:
    space = _SPACE.match(body, at)
    return space.end() if space else at


def _is_large(event: msgspec.Raw) -> bool:
    return memoryview(event).nbytes > LARGE_BODY
