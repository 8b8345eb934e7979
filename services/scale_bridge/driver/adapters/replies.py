"""What each reply must be, which the driver does not look at: the checks of R5, R16 and R4."""

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

Progress: TypeAlias = Callable[[int, int | None], None]
"""Is told how many bytes are over, and of how many in all if that is known. In any thread."""

_HASH_REPLY: Final = 22
_CHUNK_HEAD: Final = 12
_LONGEST_TEXT: Final = 500
_BUSY: Final = frozenset({ResultCode.IN_PROGRESS, ResultCode.BUSY})


@dataclass(kw_only=True, slots=True)
class Conversation:
    """One operation's requests and replies, so far.

    `working` is whether the last reply said "ask again", `again` whether the driver would not have
    understood that. `all_sent` is whether the last chunk of an upload was on its way at least,
    `confirmed` whether the scale said that it imported it.
    """

    strictness: Strictness = STRICT
    total: int | None = None
    progress: Progress | None = None
    request: Request | None = None
    working: bool = False
    again: bool = False
    all_sent: bool = False
    confirmed: bool = False
    bytes_done: int = 0
    digest: bytes = b""
    _hash: Any = field(default_factory=lambda: md5(usedforsecurity=False))

    def asks(self, request: Request) -> None:
        """A request is about to be sent."""
        self.request = request
        if request.step is Step.SEND and request.rest[:1] == b"\x01":
            self.all_sent = True

    def hears(self, body: bytes) -> None:
        """A reply has come. Raises what it means, if that is not good."""
        self.working = self.again = False
        request = self.request
        if request is None or len(body) < 5 or body[0] != STX:
            raise BadAnswer
        if body[2:4] != bytes([COMMAND, request.code]):
            raise BadAnswer("The scale answered another question than it was asked.")
        if body[1] not in (LONG, len(body) - 2):
            raise BadAnswer
        judge = self._judges().get(request.step, _plain)
        judge(body)
        if request.step is Step.SEND:
            self._moved(len(request.rest) - 7)

    def md5(self) -> str:
        """The hash of what came, in hex."""
        return str(self._hash.hexdigest())

    def hash_is_right(self) -> bool:
        """Whether what came has the hash the scale announced."""
        return bool(self._hash.digest() == self.digest)

    def _judges(self) -> Mapping[Step | None, Callable[[bytes], None]]:
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
            self.working = self.again = True
        elif len(body) != _HASH_REPLY or body[5] != DONE:
            raise BadAnswer("The scale did not give the hash of its file.")
        else:
            self.digest = body[6:]

    def _chunk(self, body: bytes) -> None:
        _good(body)
        data = body[_CHUNK_HEAD:]
        if len(body) < _CHUNK_HEAD or body[5] not in (0, 1):
            raise BadAnswer
        place = int.from_bytes(body[6:10], "little"), int.from_bytes(body[10:12], "little")
        misplaced = self.strictness.chunks and place != (self.bytes_done, len(data))
        if misplaced or not data:
            raise BadCatalogue(Flaw.CHUNK, "The scale gave a piece of its file that does not fit.")
        if self.bytes_done + len(data) > LARGEST_BYTES:
            raise BadCatalogue(Flaw.TOO_LARGE)
        self._hash.update(data)
        self._moved(len(data))

    def _checked(self, body: bytes) -> None:
        """Only a definite word counts: imported, or failed. Everything else leaves it open."""
        result = body[4]
        if len(body) == 5 and result in _BUSY:
            self.working = self.again = True
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

    def _moved(self, size: int) -> None:
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
    """The scale's own words, as one harmless line."""
    size = int.from_bytes(body[6:8], "little")
    return one_line(body[8 : 8 + size].decode(errors="replace"), _LONGEST_TEXT)
