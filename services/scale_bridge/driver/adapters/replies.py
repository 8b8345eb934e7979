"""The checks of every reply that the driver omits (R4, R5, R16)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any, Final, TypeAlias

from services.scale_bridge.driver.domain.document import LARGEST_BYTES, STRICT, Strictness
from services.scale_bridge.driver.domain.fault import (
    BadAnswer,
    BadCatalogue,
    Flaw,
    ImportFailed,
    UnknownOutcome,
    answered,
)
from services.scale_bridge.driver.domain.plain_text import one_line
from services.scale_bridge.driver.domain.result_code import ResultCode
from services.scale_bridge.driver.domain.wire import (
    COMMAND,
    DONE,
    FAILED,
    LONG,
    STX,
    WORKING,
    Request,
    Step,
)

ProgressCallback: TypeAlias = Callable[[int, int | None], None]
"""Receives the bytes transferred, and the total if it is known. Called in any thread."""

_HASH_REPLY: Final = 22
_CHUNK_HEAD: Final = 12
_LONGEST_TEXT: Final = 500
_BUSY: Final = frozenset({ResultCode.IN_PROGRESS, ResultCode.BUSY})


@dataclass(kw_only=True, slots=True)
class Conversation:
    """The requests and replies of one operation so far.

    `working` is whether the last reply meant "ask again", `poll_again` whether the driver would
    take that reply for an error. `all_sent` is whether the last chunk of an upload may have been
    sent, `confirmed` whether the scale confirmed the import.
    """

    strictness: Strictness = STRICT
    total: int | None = None
    progress: ProgressCallback | None = None
    request: Request | None = None
    working: bool = False
    poll_again: bool = False
    all_sent: bool = False
    confirmed: bool = False
    bytes_done: int = 0
    digest: bytes = b""
    _hash: Any = field(default_factory=lambda: md5(usedforsecurity=False))

    def on_request(self, request: Request) -> None:
        """Call before a request is sent."""
        self.request = request
        if request.step is Step.SEND and request.rest[:1] == b"\x01":
            self.all_sent = True

    def on_reply(self, body: bytes) -> None:
        """Check a reply. Raises ScaleFault if it is no success."""
        self.working = self.poll_again = False
        request = self.request
        if request is None or len(body) < 5 or body[0] != STX:
            raise BadAnswer
        if body[2:4] != bytes([COMMAND, request.code]):
            raise BadAnswer("The scale answered another question than it was asked.")
        if body[1] not in (LONG, len(body) - 2):
            raise BadAnswer
        check = self._checks().get(request.step, _plain)
        check(body)
        if request.step is Step.SEND:
            self._advance(len(request.rest) - 7)

    def md5(self) -> str:
        """The MD5 of the received file, in hex."""
        return str(self._hash.hexdigest())

    def hash_is_right(self) -> bool:
        """Whether the received file has the hash the scale announced."""
        return bool(self._hash.digest() == self.digest)

    def _checks(self) -> Mapping[Step | None, Callable[[bytes], None]]:
        return {
            Step.CREATED: self._created,
            Step.HASHED: self._hashed,
            Step.CHUNK: self._chunk,
            Step.CHECK: self._checked,
            Step.INFO: _good,
        }

    def _created(self, body: bytes) -> None:
        if body[4] == ResultCode.IN_PROGRESS:
            self.working = True
            return
        _plain(body)

    def _hashed(self, body: bytes) -> None:
        _good(body)
        if len(body) > 5 and body[5] == WORKING:
            self.working = self.poll_again = True
        elif len(body) != _HASH_REPLY or body[5] != DONE:
            raise BadAnswer("The scale did not give the hash of its file.")
        else:
            self.digest = body[6:]

    def _chunk(self, body: bytes) -> None:
        _good(body)
        data = body[_CHUNK_HEAD:]
        if len(body) < _CHUNK_HEAD or body[5] not in (0, 1):
            raise BadAnswer
        announced = int.from_bytes(body[6:10], "little"), int.from_bytes(body[10:12], "little")
        misplaced = self.strictness.chunks and announced != (self.bytes_done, len(data))
        if misplaced or not data:
            raise BadCatalogue(Flaw.CHUNK, "The scale gave a piece of its file that does not fit.")
        if self.bytes_done + len(data) > LARGEST_BYTES:
            raise BadCatalogue(Flaw.TOO_LARGE)
        self._hash.update(data)
        self._advance(len(data))

    def _checked(self, body: bytes) -> None:
        """The status of an import: done, failed or working; any other is an unknown outcome."""
        result = body[4]
        if len(body) == 5 and result in _BUSY:
            self.working = self.poll_again = True
            return
        status = body[5] if len(body) >= 8 else None
        if status == FAILED:
            raise ImportFailed(_text(body), result=result or None)
        if status is None or result != ResultCode.SUCCESS:
            raise UnknownOutcome(result=result)
        if status == DONE:
            self.confirmed = True
        elif status == WORKING:
            self.working = True
        else:
            raise UnknownOutcome("The scale says something unknown about the import.")

    def _advance(self, size: int) -> None:
        self.bytes_done += size
        if self.progress is not None:
            self.progress(self.bytes_done, self.total)


def _good(body: bytes) -> None:
    if body[4] != ResultCode.SUCCESS:
        raise answered(body[4])


def _plain(body: bytes) -> None:
    _good(body)
    if len(body) != 5:
        raise BadAnswer


def _text(body: bytes) -> str:
    """The scale's error text as one printable line."""
    size = int.from_bytes(body[6:8], "little")
    return one_line(body[8 : 8 + size].decode(errors="replace"), _LONGEST_TEXT)
