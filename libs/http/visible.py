"""Read your writes: a write waits until read models include it, a read until it includes a write.

Routes declare the read models. `dependencies=[visible("device")]` of a route that writes delays its
response, and clients need no token. `fresh` and `caught_up` of a route that reads come before it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, TypeAlias

from fastapi import Header, HTTPException, Request, params
from prometheus_client import Counter
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.eventsourcing.tokens import TokenMalformed, collecting
from libs.http.auth import Permission, Principal

STALE: Final = "X-Stale"
"""`1` in the response to a write that is not visible yet, or in one that may lack writes."""
CONSISTENCY: Final = "X-Consistency-Token"
"""The writes of a response, and those that a read must include."""

FIRST_ERROR_STATUS: Final = 400

Seconds: TypeAlias = float | Callable[[Any], float]
"""The longest wait of a response, or a function of the app's `deps` that returns it; 0 is none."""

WAITED: Final = Counter(
    "tillstream_visible_answers_total",
    "Answers to writes that waited for read models, by whether they were level in time.",
    ["visible"],
)
_COUNTED: Final = {fresh: WAITED.labels(str(fresh).lower()) for fresh in (True, False)}

_KEY: Final = "tillstream.visible"
_STALE_HEADER: Final = (STALE.lower().encode(), b"1")

Token = Annotated[str | None, Header(alias=CONSISTENCY)]


class _Stale:
    """What the dependencies of a route that reads leave to the middleware if writes are missing."""

    async def wait(self, deps: Any, tokens: Sequence[str], status: int) -> bool:
        """Whether the response is complete: an error lacks no writes."""
        return status >= FIRST_ERROR_STATUS


def stale_wait(deps: Any) -> float:
    """The setting `stale_wait_seconds`, which is also the longest wait of queries."""
    seconds: float = deps.settings.stale_wait_seconds
    return seconds


class Visible:
    """The dependency by which a route declares read models to wait for. Compare `visible`."""

    def __init__(self, *models: str, within: Seconds, when_refused: bool) -> None:
        self.models = models
        self._within = within
        self._when_refused = when_refused

    async def __call__(self, request: HTTPConnection) -> None:
        """Register this wait for the response."""
        if (declared := request.scope.get(_KEY)) is not None:
            declared.append(self)

    async def wait(self, deps: Any, tokens: Sequence[str], status: int) -> bool:
        """Whether the read models include the writes of `tokens` in time; True without a wait."""
        if not tokens:
            return True
        within = self._within(deps) if callable(self._within) else self._within
        if within <= 0 or (status >= FIRST_ERROR_STATUS and not self._when_refused):
            return True
        fresh: bool = await deps.consistency.wait_visible(self.models, tokens, within)
        _COUNTED[fresh].inc()
        return fresh


def visible(
    *models: str, within: Seconds = stale_wait, when_refused: bool = True
) -> params.Depends:
    """For a route that writes: respond when the read models include the write, `within` seconds at
    most. If they do not, the response has `X-Stale: 1`.

    The app's `deps` must have a `consistency`. No connection is held during the wait, unless a
    dependency of the route holds one. An error response waits too if something was written, unless
    `when_refused` is false: use that where the time must not reveal that something was written.
    """
    return params.Depends(Visible(*models, within=within, when_refused=when_refused))


def fresh(*models: str, of: Permission, unless: str = "") -> params.Depends:
    """For a route that reads, and demands `of` its callers: wait for a bounded time until the read
    models include the writes that the consistency token of the request names.

    If they do not, a successful response has `X-Stale: 1`. 400 if the token is malformed. A request
    with the query parameter `unless` does not wait.
    """

    async def wait(
        request: Request, _: Annotated[Principal, params.Depends(of)], token: Token = None
    ) -> None:
        if not token or (unless and request.query_params.get(unless)):
            return
        consistency = request.app.state.deps.consistency
        try:
            await _mark(request, [consistency.wait_for_token(model, token) for model in models])
        except TokenMalformed as error:
            raise HTTPException(400, str(error)) from None

    return params.Depends(wait)


def caught_up(*models: str, of: Permission) -> params.Depends:
    """For a route that reads, and demands `of` its callers: wait for a bounded time until the read
    models include all that the log holds of the caller's tenant.

    If they do not, a successful response has `X-Stale: 1`.
    """

    async def wait(request: Request, caller: Annotated[Principal, params.Depends(of)]) -> None:
        consistency = request.app.state.deps.consistency
        await _mark(request, [consistency.caught_up(model, caller.tenant) for model in models])

    return params.Depends(wait)


async def _mark(request: Request, waits: Sequence[Awaitable[bool]]) -> None:
    if not all(await asyncio.gather(*waits)):
        request.scope[_KEY].append(_Stale())


class VisibleAnswers:
    """ASGI middleware that delays the responses of routes that declare `visible`, and marks those
    that lack writes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared: list[Visible | _Stale] = []
        scope[_KEY] = declared
        with collecting() as tokens:

            async def send_when_visible(message: Message) -> None:
                if declared and message["type"] == "http.response.start":
                    deps = scope["app"].state.deps
                    level = [await one.wait(deps, tokens, message["status"]) for one in declared]
                    if not all(level):
                        message["headers"] = [*message.get("headers", ()), _STALE_HEADER]
                await send(message)

            await self._app(scope, receive, send_when_visible)
