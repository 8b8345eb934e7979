"""Visible writes: the response to a write waits until read models include it.

A route declares which: `dependencies=[visible("device")]`. Clients then need no token.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from fastapi import params
from prometheus_client import Counter
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.eventsourcing.tokens import collecting

STALE: Final = "X-Stale"
"""`1` in the response to a write that is not visible yet, or in one that may lack writes."""

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
        declared: list[Visible] | None = request.scope.get(_KEY)
        if declared is not None:
            declared.append(self)

    async def wait(self, deps: Any, tokens: Sequence[str], status: int) -> bool:
        """Whether the read models include the writes of `tokens` in time; True without a wait."""
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


class VisibleAnswers:
    """ASGI middleware that delays the responses of routes that declare `visible`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared: list[Visible] = []
        scope[_KEY] = declared
        with collecting() as tokens:

            async def send_when_visible(message: Message) -> None:
                if declared and tokens and message["type"] == "http.response.start":
                    await _wait(declared, tokens, scope["app"].state.deps, message)
                await send(message)

            await self._app(scope, receive, send_when_visible)


async def _wait(
    declared: Sequence[Visible], tokens: Sequence[str], deps: Any, message: Message
) -> None:
    fresh = [await wait.wait(deps, tokens, message["status"]) for wait in declared]
    if not all(fresh):
        message["headers"] = [*message.get("headers", ()), (STALE.lower().encode(), b"1")]
