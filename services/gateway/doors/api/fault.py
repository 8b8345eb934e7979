"""Refusals of the gateway itself, in the shape of each door."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from libs.http.problems import Problem
from libs.http.rate_limits import rate_limit_headers, too_many_headers
from libs.http.shapes import CHALLENGE, DETAIL, ENVELOPE, PROBLEM, ErrorShape
from services.gateway.doors.domain.door import Shape
from services.gateway.doors.stores import Exceeded, Remaining


class Fault(Exception):
    """A request that is refused.

    `code` is stable. `detail` is for people and must not contain digits: the scanner stops for good
    after an error whose text contains 401 or 403.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}
        self.body_detail: object = detail
        """The value under `detail` in the shape DETAIL."""


class BadKey(Fault):
    """No API key and no token, or an invalid key."""

    def __init__(self) -> None:
        super().__init__(401, "Unauthenticated", BAD_KEY)


class NotLoggedIn(Fault):
    """No token, at a door whose clients use tokens."""

    def __init__(self) -> None:
        super().__init__(401, "Unauthenticated", NOT_AUTHENTICATED, CHALLENGE)


class TooSlow(Fault):
    """The body did not arrive in time. Its rest is not read."""

    def __init__(self) -> None:
        headers = {"Connection": "close"}
        super().__init__(408, "RequestTimeout", "The request body came too slowly", headers)


NOT_AUTHENTICATED: Final = "Not authenticated"
BAD_TOKEN: Final = "Invalid token"  # noqa: S105 - a message
NOT_FOUND: Final = "Not Found"
METHOD_NOT_ALLOWED: Final = "Method Not Allowed"
NOT_INSTALLED_SECONDS: Final = 60
BAD_KEY: Final = "Invalid or missing API key"
SHAPES: Final[Mapping[Shape, ErrorShape]] = {
    Shape.DETAIL: DETAIL,
    Shape.PROBLEM: PROBLEM,
    Shape.ERROR: replace(
        ENVELOPE,
        # What the door does not have is not answered in the envelope.
        codes={status: ENVELOPE.codes[status] for status in (401, 403, 409, 429)},
        headers={},
    ),
}


def bad_path() -> Fault:
    """The path is ambiguous."""
    return Fault(400, "BadPath", "The path is not acceptable")


def not_found() -> Fault:
    """The path does not exist."""
    return Fault(404, "NotFound", NOT_FOUND)


def not_installed(service: str) -> Fault:
    """The service behind the door is not installed."""
    detail = f"The service {service} is not installed here"
    return Fault(503, "NotInstalled", detail, {"Retry-After": str(NOT_INSTALLED_SECONDS)})


def method_not_allowed(allowed: tuple[str, ...]) -> Fault:
    """The path exists, but not for this method."""
    return Fault(405, "MethodNotAllowed", METHOD_NOT_ALLOWED, {"Allow": ", ".join(allowed)})


def bad_key() -> Fault:
    """No API key, or an invalid one."""
    return BadKey()


def bad_token(*, challenge: bool) -> Fault:
    """An invalid token: forged, expired, or of a revoked session."""
    return Fault(401, "Unauthenticated", BAD_TOKEN, CHALLENGE if challenge else None)


def not_json() -> Fault:
    """The body is not JSON; the answer is like FastAPI's."""
    error = Fault(422, "Invalid", "JSON decode error")
    error.body_detail = [
        {
            "type": "json_invalid",
            "loc": ["body", 0],
            "msg": error.detail,
            "input": None,
            "ctx": {"error": "not JSON, or nested too deep"},
        }
    ]
    return error


def forbidden(detail: str) -> Fault:
    """The key or token is valid but lacks the scope."""
    return Fault(403, "Forbidden", detail)


def too_large() -> Fault:
    """The body exceeds the limit."""
    return Fault(413, "BodyTooLarge", "The request body is too large")


def broken_body() -> Fault:
    """The body ended early, or its chunks are malformed."""
    headers = {"Connection": "close"}
    return Fault(400, "BrokenBody", "The request body broke off or is framed badly", headers)


def long_url() -> Fault:
    """The address exceeds the limit."""
    return Fault(414, "UrlTooLong", "The address is too long")


def large_headers() -> Fault:
    """The headers exceed the limit."""
    return Fault(431, "HeadersTooLarge", "The request headers are too large")


def websocket_only() -> Fault:
    """The path accepts WebSockets only."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    return Fault(426, "UpgradeRequired", "This address speaks WebSocket", headers)


def rate_limit(remaining: Remaining) -> dict[str, str]:
    """The header fields of a rate limit, by draft-ietf-httpapi-ratelimit-headers."""
    return rate_limit_headers(
        remaining.limit, remaining=remaining.remaining, reset_seconds=remaining.reset_seconds
    )


def too_many(over: Exceeded) -> Fault:
    """A rate limit is exceeded."""
    headers = too_many_headers(over.retry_after, over.limit)
    return Fault(429, "TooManyRequests", "Too many requests, try again later", headers)


def unavailable(retry_after: int) -> Fault:
    """A dependency is unavailable; nothing was done."""
    headers = {"Retry-After": str(retry_after)}
    return Fault(503, "Unavailable", "Temporarily unavailable, try again later", headers)


def websocket_refused(status: int) -> Fault:
    """The service refused the WebSocket."""
    return Fault(status, "Refused", "The service did not accept the connection")


def foreign_page() -> Fault:
    """The page that opens the WebSocket has an origin that is not allowed."""
    return Fault(403, "ForeignPage", "Pages of this origin may not connect")


def bad_gateway() -> Fault:
    """The service closed the connection; whether it acted is unknown."""
    return Fault(502, "BadGateway", "The service did not answer properly, try again")


def timed_out() -> Fault:
    """The service did not answer in time; whether it acted is unknown."""
    return Fault(504, "GatewayTimeout", "The service did not answer in time, try again")


async def answer(send: Any, shape: Shape, fault: Fault) -> None:
    """Send the refusal in a shape."""
    problem = Problem(
        type=fault.code,
        title=fault.detail,
        status=fault.status,
        fastapi_detail=fault.body_detail,
        headers=fault.headers,
    )
    response = SHAPES[shape].response(problem)
    start = {"type": "http.response.start", "status": response.status_code}
    await send({**start, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body})
