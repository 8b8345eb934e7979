"""A write is visible when it is answered: routes whose answers wait until read models have it.

A route says which: `dependencies=[visible("device")]`. Clients need no token then.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from fastapi import params
from prometheus_client import Counter
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.eventsourcing.tokens import collecting

STALE: Final = "X-Stale"
"""`1` in an answer to a write that its reader may not see yet, or in one that may lack writes."""

REFUSED: Final = 400
"""From this status on an answer says that what was asked was not done."""

Seconds: TypeAlias = float | Callable[[Any], float]
"""How long an answer waits at most, or what says so of the app's `deps`; not at all for zero."""

WAITED: Final = Counter(
    "tillstream_visible_answers_total",
    "Answers to writes that waited for read models, by whether they were level in time.",
    ["visible"],
)
_COUNTED: Final = {fresh: WAITED.labels(str(fresh).lower()) for fresh in (True, False)}

_KEY: Final = "tillstream.visible"


def stale_wait(deps: Any) -> float:
    """As long as questions wait."""
    seconds: float = deps.settings.stale_wait_seconds
    return seconds


class Visible:
    """What a route declares: the read models its answer waits for. Compare `visible`."""

    def __init__(self, *models: str, within: Seconds, when_refused: bool) -> None:
        self.models = models
        self._within = within
        self._when_refused = when_refused

    async def __call__(self, request: HTTPConnection) -> None:
        """Have the answer wait."""
        declared: list[Visible] | None = request.scope.get(_KEY)
        if declared is not None:
            declared.append(self)

    async def wait(self, deps: Any, tokens: Sequence[str], status: int) -> bool:
        """Whether the read models have what `tokens` name in time, true if no wait is wanted."""
        within = self._within(deps) if callable(self._within) else self._within
        if within <= 0 or (status >= REFUSED and not self._when_refused):
            return True
        fresh: bool = await deps.consistency.wait_visible(self.models, tokens, within)
        _COUNTED[fresh].inc()
        return fresh


def visible(
    *models: str, within: Seconds = stale_wait, when_refused: bool = True
) -> params.Depends:
    """For a route that writes: answer when the read models include it, at most `within` seconds
    later; if they do not, the answer says so by `X-Stale: 1`.

    The app's `deps` must have a `consistency`. Nothing is held while an answer waits, unless a
    dependency of the route holds it. The answer to a request that failed after it wrote waits, too,
    except without `when_refused`: where its time must not tell that something was written.
    """
    return params.Depends(Visible(*models, within=within, when_refused=when_refused))


class VisibleAnswers:
    """ASGI middleware that has the answers of such routes wait."""

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
    fresh = [await each.wait(deps, tokens, message["status"]) for each in declared]
    if not all(fresh):
        message["headers"] = [*message.get("headers", ()), (STALE.lower().encode(), b"1")]
