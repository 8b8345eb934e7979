"""From the bytes of a request to readings and faults, event by event.

An event of the right shape is decoded by msgspec straight into `Reading`; whatever that refuses
goes through Python's `json` and `domain.scan.read`, which says what is wrong. Where both accept
they agree. (Batches without anything unusual need none of this: see `fitting`.)

A body longer than `LARGE_BODY` is never decoded as a whole: a few bytes of JSON may make a hundred
bytes of objects. It is cut into its elements, no more of them than may be there, and in pieces
between which the event loop does something else.
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

from services.ingest.scans.domain.scan import RAW_LIMIT, Fault, Reading, read

LONGEST_BATCH: Final = 100
LONGEST_VERIFY: Final = 1000

LARGE_BODY: Final = 1024 * 1024
"""Bytes of a body, or of one event, beyond which it is not made into objects at once."""

TOKENS_AT_A_TIME: Final = 2000
"""So many strings, brackets and commas of a large body are passed without a pause: half a
millisecond or so."""

DEEPEST: Final = 1000
"""So deep lists and objects may be nested; Python's own decoder gives up about there."""

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
    return _of_a_batch(_batch(body))


async def cut_batch(body: bytes) -> Sequence[Event]:
    """The same of a large body, in pieces. An event may turn out to be no JSON when it is read."""
    return _of_a_batch(await _in_pieces(_elements(body, "events", LONGEST_BATCH)))


def reading_of(event: Event) -> Reading | Fault:
    """What an event says, or why it cannot be read."""
    if isinstance(event, msgspec.Raw):
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            return _reading_of(event)
        if _is_large(event):
            return Fault(code="too_long", reason="the event is too long, and not read")
    return read(value_of(event))


def value_of(event: Event) -> object:
    """The JSON value of an event, to keep it. Raises BadRequest if it is no JSON, as only an event
    that was cut out of a large body may be."""
    if not isinstance(event, msgspec.Raw):
        return event
    try:
        return load(bytes(event).decode("utf-8", "surrogateescape"))
    except ValueError:
        raise _no_json() from None


def evidence_of(event: Event) -> tuple[str, object]:
    """What is kept of an event that is no scan: its JSON in ASCII, of a large one only the start,
    and a value that equal events have in common and others have not. Raises like `value_of`."""
    if isinstance(event, msgspec.Raw) and _is_large(event):
        start = bytes(memoryview(event)[: RAW_LIMIT + 1]).decode("utf-8", "surrogateescape")
        # As JSON writes what is not ASCII; quotation marks stay as they are.
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
    """The refusal of a body that no JSON can be made of."""
    return BadRequest("json_invalid", [0], "JSON decode error", error=why)


def _no_json() -> BadRequest:
    return not_json("not JSON, or nested too deep")


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


def _of_a_batch(events: Sequence[Event]) -> Sequence[Event]:
    if not events:
        said = "List should have at least 1 item after validation, not 0"
        raise BadRequest("too_short", ["events"], said, min_length=1, actual_length=0)
    if len(events) > LONGEST_BATCH:
        raise _too_long("events", LONGEST_BATCH, len(events))
    return events


def _batch(body: bytes) -> Sequence[Event]:
    try:
        body.decode()  # msgspec skips over texts without looking
        return _batch_of(body).events
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _list(_loaded(body), "events")


async def _uuids(body: bytes) -> Sequence[object]:
    if len(body) <= LARGE_BODY:
        return _list(_loaded(body), "uuids")
    found = await _in_pieces(_elements(body, "uuids", LONGEST_VERIFY))
    # What is no text is not decoded to be refused.
    return [_loaded(bytes(one)) if memoryview(one)[0] == _QUOTE else None for one in found]


def _loaded(body: bytes) -> object:
    try:
        # Bytes that are no UTF-8 become lone surrogates, which only their own event suffers for.
        return load(body.decode("utf-8-sig", "surrogateescape").strip())
    except (ValueError, RecursionError):
        raise _no_json() from None


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, dict):
        raise _no_object()
    if name not in value:
        raise _missing(name)
    if not isinstance(value[name], list):
        raise _no_list(name)
    found: list[object] = value[name]
    return found


def _texts(values: Iterable[object]) -> Iterator[str]:
    for n, value in enumerate(values):
        if not isinstance(value, str):
            raise BadRequest("string_type", ["uuids", n], "Input should be a valid string")
        yield value


def _no_object() -> BadRequest:
    said = "Input should be a valid dictionary or object to extract fields from"
    return BadRequest("model_attributes_type", [], said)


def _missing(name: str) -> BadRequest:
    return BadRequest("missing", [name], "Field required")


def _no_list(name: str) -> BadRequest:
    return BadRequest("list_type", [name], "Input should be a valid list")


def _too_long(name: str, longest: int, actual: int | None) -> BadRequest:
    """`actual` is None if the count was broken off; FastAPI says so in the same words."""
    said = f"List should have at most {longest} items after validation, not {actual or 'more'}"
    return BadRequest("too_long", [name], said, max_length=longest, actual_length=actual)


# Large bodies. Each generator yields when it is time for a pause, and returns what it found.

Pieces: TypeAlias = Generator[None, None, int]

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
# A piece of a text, and the quotation mark at its end if that is where the piece ends.
_TEXT: Final = re.compile(rb'(?>[^"\\]+|\\.){0,%d}+("?)' % TOKENS_AT_A_TIME, re.DOTALL)
# Inside of a value only what opens and closes it matters; the rest is passed a piece at a time.
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


async def _in_pieces(
    work: Generator[None, None, Sequence[msgspec.Raw]],
) -> Sequence[msgspec.Raw]:
    while True:
        try:
            next(work)
        except StopIteration as done:
            found: Sequence[msgspec.Raw] = done.value
            return found
        await asyncio.sleep(0)


def _elements(body: bytes, name: str, most: int) -> Generator[None, None, Sequence[msgspec.Raw]]:
    """The elements of the list that the object `body` has under a name, unread.

    Raises BadRequest; of more than `most` elements those behind are not looked at.
    """
    found: list[msgspec.Raw] | None = None
    at = _past_space(body, len(_BOM) if body[: len(_BOM)] == _BOM else 0)
    if body[at : at + 1] != b"{":
        raise _no_object()
    inside = _past_space(body, at + 1)
    if body[inside : inside + 1] == b"}":
        raise _missing(name)
    while body[at : at + 1] in (b"{", b","):
        is_it, at = yield from _key_end(body, _past_space(body, at + 1), name)
        if not is_it:
            at = yield from _value_end(body, at)
        elif body[at : at + 1] != b"[":
            raise _no_list(name)
        else:
            found = []
            at = yield from _list_end(body, at, found, most)
            if len(found) > most:
                raise _too_long(name, most, None)
        at = _past_space(body, at)
    return _whole(body, at, found, name)


def _key_end(body: bytes, at: int, name: str) -> Generator[None, None, tuple[bool, int]]:
    """Whether the key at `at` is a name, and the position of its value."""
    if body[at : at + 1] != b'"':
        raise _no_json()
    end = yield from _text_end(body, at)
    colon = _past_space(body, end)
    if body[colon : colon + 1] != b":":
        raise _no_json()
    # Written in escapes all through, it is six times as long.
    is_it = end - at <= 6 * len(name) + 2 and _loaded(body[at:end]) == name
    return is_it, _past_space(body, colon + 1)


def _whole(body: bytes, at: int, found: list[msgspec.Raw] | None, name: str) -> list[msgspec.Raw]:
    """What was found, if the object ends at `at` and the body behind it."""
    if body[at : at + 1] != b"}" or _past_space(body, at + 1) != len(body):
        raise _no_json()
    if found is None:
        raise _missing(name)
    return found


def _list_end(body: bytes, at: int, found: list[msgspec.Raw], most: int) -> Pieces:
    """The position behind a list that begins at `at`; adds its elements, at most one too many."""
    begin = _past_space(body, at + 1)
    if body[begin : begin + 1] == b"]":
        return begin + 1
    while True:
        end = yield from _value_end(body, begin)
        found.append(msgspec.Raw(memoryview(body)[begin:end]))
        if body[end : end + 1] == b"]" or len(found) > most:
            return end + 1
        if body[end : end + 1] != b",":
            raise _no_json()
        yield
        begin = _past_space(body, end + 1)


def _value_end(body: bytes, at: int) -> Pieces:
    """The position of the comma or bracket behind the value that begins at `at`."""
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


def _container_end(body: bytes, at: int) -> Pieces:
    """The position behind the list or object that begins at `at`."""
    depth, at = 1, at + 1
    for passed in count(1):
        piece = _INSIDE.match(body, at)
        if piece is None or piece.end() == at or depth > DEEPEST:
            break
        at = piece.end()
        if piece[1] == b'"':
            at = yield from _text_end(body, at - 1)
        depth += _DEPTH.get(piece[1], 0)
        if not depth:
            return at
        if not piece[1] or passed % TOKENS_AT_A_TIME == 0:
            yield
    raise _no_json()


def _text_end(body: bytes, at: int) -> Pieces:
    """The position behind the text that begins at `at`, with its quotation mark."""
    at += 1
    while (piece := _TEXT.match(body, at)) and piece.end() > at:
        at = piece.end()
        if piece[1]:
            return at
        yield
    raise _no_json()


def _past_space(body: bytes, at: int) -> int:
    space = _SPACE.match(body, at)
    return space.end() if space else at


def _is_large(event: msgspec.Raw) -> bool:
    return memoryview(event).nbytes > LARGE_BODY
