"""`Idempotency-Key`: a repeated request is not carried out again, and gets the first answer.

Kept for 24 hours per caller; the answer has `Idempotent-Replayed: true`. The same key with another
content is refused with 409 (spec kiosk §7.4), and so is a repetition whose answer was too large to
be stored. Of concurrent repetitions one is carried out, and the others wait for its answer.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Final
from uuid import UUID

import structlog
from fastapi import Depends, Header, HTTPException, Request, Response
from pydantic import BaseModel

from libs.errors import Refused, Unavailable
from libs.eventsourcing.store import new_event_id
from libs.http.auth import Principal
from libs.postgres.guarded_pool import ANY_ERROR
from libs.postgres.idempotency import (
    AnswerLost,
    Claim,
    IdempotencyStore,
    InFlight,
    KeyedRequest,
    StoredAnswer,
)

REPLAYED: Final = "Idempotent-Replayed"
CLAIM_SECONDS: Final = 10.0
"""After this time a repetition is carried out, under the same command id."""
WAIT_SECONDS: Final = 5.0
"""The longest wait for the answer of a concurrent repetition."""
PAUSE_SECONDS: Final = 0.05
MAX_STORED_BYTES: Final = 256 * 1024
"""The largest body of an answer that is stored. Of a larger one only the status is."""
STORED_HEADERS: Final = frozenset(
    {
        *(b"cache-control", b"content-disposition", b"content-encoding", b"content-language"),
        *(b"content-type", b"etag", b"last-modified", b"link", b"location"),
        b"x-consistency-token",
    }
)

log = structlog.get_logger(__name__)


class Attempt:
    """One request, carried out or to be carried out under `command_id`.

    With a `replay`, that is the answer. Otherwise carry the request out, append its events under
    `command_id`, and `finish` with the answer.
    """

    def __init__(
        self, command_id: UUID, *, replay: Response | None = None, claim: Claim | None = None
    ) -> None:
        self.command_id = command_id
        self.replay = replay
        self.claim = claim
        self.answer: Response | None = None

    def finish(self, answer: Response) -> Response:
        """The answer, which a repetition gets from now on."""
        self.answer = answer
        return answer


@dataclass(frozen=True, slots=True)
class Once:
    """The key of a request, if it has one, and the name of what is done. Compare `idempotent`."""

    store: IdempotencyStore
    name: str
    key: str | None

    @asynccontextmanager
    async def attempt(self, caller: Principal, content: object) -> AsyncIterator[Attempt]:
        """Carry the request out in this context.

        `content`, a model or JSON, tells it from others with the same key. What is refused, or not
        finished, may be repeated with any content; after another failure with the same content
        only. Raises KeyReused, InFlight, AnswerLost, Unavailable.
        """
        attempt = await self._begin(caller, content)
        claim = attempt.claim
        if claim is None:
            yield attempt
            return
        try:
            yield attempt
        except (Refused, HTTPException):
            await _safely(self.store.release(claim, was_done=False))
            raise
        except Exception:
            await _safely(self.store.release(claim, was_done=True))
            raise
        if attempt.answer is None:
            await _safely(self.store.release(claim, was_done=False))
        else:
            await _safely(self.store.finish(claim, _stored(attempt.answer)))

    async def answer(
        self,
        caller: Principal,
        content: object,
        work: Callable[[UUID], Awaitable[BaseModel]],
        *,
        status: int = 200,
    ) -> Response:
        """The model that `work` returns for the command id of the request, or the first answer.

        See `attempt` for `content` and what is raised.
        """
        async with self.attempt(caller, content) as attempt:
            if attempt.replay is not None:
                return attempt.replay
            body = (await work(attempt.command_id)).model_dump_json()
            return attempt.finish(Response(body, status, media_type="application/json"))

    async def _begin(self, caller: Principal, content: object) -> Attempt:
        if self.key is None:
            return Attempt(new_event_id())
        request = KeyedRequest(
            tenant=caller.tenant,
            caller=caller.subject,
            key=sha256(f"{self.name}\0{self.key}".encode()).digest(),
            fingerprint=_digest(content),
        )
        claimed = await self._claimed(request, asyncio.get_running_loop().time() + WAIT_SECONDS)
        if isinstance(claimed, Claim):
            return Attempt(claimed.command_id, claim=claimed)
        return Attempt(new_event_id(), replay=_replay(claimed))

    async def _claimed(self, request: KeyedRequest, until: float) -> Claim | StoredAnswer:
        command_id = new_event_id()
        while True:
            try:
                return await self.store.claim(request, command_id=command_id, seconds=CLAIM_SECONDS)
            except InFlight:
                if asyncio.get_running_loop().time() >= until:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)


def idempotent(name: str, *, longest: int = 128) -> Any:
    """Declare that a route takes an `Idempotency-Key` of `longest` characters at most:
    `once: Annotated[Once, idempotent("order")]`.

    `name` is stored: the same key under another name is another key. The app's `deps` must have a
    `system` pool, and the service the table of `create_idempotency`.
    """
    header = Header(alias="Idempotency-Key", min_length=1, max_length=longest)

    async def once(request: Request, key: Annotated[str | None, header] = None) -> Once:
        return Once(IdempotencyStore(request.app.state.deps.system), name, key)

    return Depends(once)


def _digest(content: object) -> bytes:
    value = content.model_dump(mode="json") if isinstance(content, BaseModel) else content
    return sha256(json.dumps(value, sort_keys=True).encode()).digest()


def _stored(response: Response) -> StoredAnswer:
    # A streamed response has no body yet.
    body: bytes | None = getattr(response, "body", None)
    return StoredAnswer(
        status=response.status_code,
        headers=[pair for pair in response.raw_headers if pair[0] in STORED_HEADERS],
        body=body if body is not None and len(body) <= MAX_STORED_BYTES else None,
    )


def _replay(stored: StoredAnswer) -> Response:
    if stored.body is None:
        raise AnswerLost
    response = Response(stored.body, stored.status, {REPLAYED: "true"})
    response.raw_headers += stored.headers
    return response


async def _safely(work: Any) -> None:
    """Do the work; if the database fails, log it, since the claim expires by itself."""
    try:
        await work
    except (Unavailable, *ANY_ERROR) as error:
        log.warning("answer not kept", reason=type(error).__name__)
