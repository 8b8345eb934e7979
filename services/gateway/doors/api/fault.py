"""Refusals of the doors, in the shape each door's clients know."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from libs.http.rate_limits import rate_limit_headers, too_many_headers
from services.gateway.doors.domain.door import Shape
from services.gateway.doors.stores import Exceeded, Left

RawHeaders = list[tuple[bytes, bytes]]


class Fault(Exception):
    """A request that goes no further.

    `code` is stable. `detail` is for people, and holds no numbers of ours: the scanner gives up
    for good on any error whose text contains 401 or 403, wherever it stands.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}
        self.said: object = detail
        """What stands under `detail` where that is the shape."""


class NoGoodKey(Fault):
    """No key, or one that opens nothing; nor a token."""

    def __init__(self) -> None:
        super().__init__(401, "Unauthenticated", BAD_KEY)


class NotLoggedIn(Fault):
    """No token, where clients are used to have one."""

    def __init__(self) -> None:
        super().__init__(401, "Unauthenticated", NOT_AUTHENTICATED, CHALLENGE)


class TooSlow(Fault):
    """The body did not come in time. What is left of it is not waited for."""

    def __init__(self) -> None:
        headers = {"Connection": "close"}
        super().__init__(408, "RequestTimeout", "The request body came too slowly", headers)


CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}
NOT_AUTHENTICATED: Final = "Not authenticated"
BAD_TOKEN: Final = "Invalid token"  # noqa: S105 - says what it is not
NOT_FOUND: Final = "Not Found"
METHOD_NOT_ALLOWED: Final = "Method Not Allowed"
CRM_CODES: Final[Mapping[int, str]] = {
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    409: "CONFLICT",
    429: "RATE_LIMIT_EXCEEDED",
}
BAD_KEY: Final = "Invalid or missing API key"


def bad_path() -> Fault:
    """The path could mean two things."""
    return Fault(400, "BadPath", "The path is not acceptable")


def elsewhere(location: str) -> Fault:
    """It is there, at another address."""
    return Fault(
        307, "TrailingSlash", "The address has no slash at its end", {"Location": location}
    )


def not_found() -> Fault:
    """Nothing is there."""
    return Fault(404, "NotFound", NOT_FOUND)


def method_not_allowed(allowed: tuple[str, ...]) -> Fault:
    """It is there, but not for this method."""
    return Fault(405, "MethodNotAllowed", METHOD_NOT_ALLOWED, {"Allow": ", ".join(allowed)})


def bad_key() -> Fault:
    """No key, or one that opens nothing."""
    return NoGoodKey()


def bad_token(*, challenge: bool) -> Fault:
    """A token that opens nothing: forged, expired, of a session that is over."""
    return Fault(401, "Unauthenticated", BAD_TOKEN, CHALLENGE if challenge else None)


def not_json() -> Fault:
    """The body is no JSON, in the words of FastAPI."""
    made = Fault(422, "Invalid", "JSON decode error")
    made.said = [
        {
            "type": "json_invalid",
            "loc": ["body", 0],
            "msg": made.detail,
            "input": None,
            "ctx": {"error": "not JSON, or nested too deep"},
        }
    ]
    return made


def forbidden(*, key: bool) -> Fault:
    """The key or the token is good, but not for this."""
    return Fault(403, "Forbidden", f"{'This API key' if key else 'You'} may not do this")


def too_large() -> Fault:
    """More body than is taken."""
    return Fault(413, "BodyTooLarge", "The request body is too large")


def broken_body() -> Fault:
    """The body ended before it was complete, or a chunk of it has no size."""
    headers = {"Connection": "close"}
    return Fault(400, "BrokenBody", "The request body broke off or is framed badly", headers)


def long_url() -> Fault:
    """More address than is taken."""
    return Fault(414, "UrlTooLong", "The address is too long")


def large_headers() -> Fault:
    """More headers than are taken."""
    return Fault(431, "HeadersTooLarge", "The request headers are too large")


def websocket_only() -> Fault:
    """What is there speaks WebSocket."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    return Fault(426, "UpgradeRequired", "This address speaks WebSocket", headers)


def bad_idempotency_key() -> Fault:
    """The `Idempotency-Key` is none."""
    return Fault(400, "BadIdempotencyKey", "The Idempotency-Key is not acceptable")


def in_flight(retry_after: int) -> Fault:
    """The same request is being answered."""
    headers = {"Retry-After": str(retry_after)}
    return Fault(409, "InFlight", "The same request is still being answered", headers)


def already_done() -> Fault:
    """The request was done, and what was answered is not known any more."""
    return Fault(409, "AlreadyDone", "This was done before; its answer was not kept")


def another_request() -> Fault:
    """The `Idempotency-Key` was used for another request."""
    return Fault(422, "IdempotencyKeyReused", "The Idempotency-Key belongs to another request")


def rate_limit(left: Left) -> dict[str, str]:
    """What is left of a rate limit, in the fields of draft-ietf-httpapi-ratelimit-headers."""
    return rate_limit_headers(
        left.limit, remaining=left.remaining, reset_seconds=left.reset_seconds
    )


def too_many(over: Exceeded) -> Fault:
    """A rate limit is used up."""
    headers = too_many_headers(over.retry_after, over.limit)
    return Fault(429, "TooManyRequests", "Too many requests, try again later", headers)


def unavailable(retry_after: int) -> Fault:
    """Something needed is away; nothing was done."""
    headers = {"Retry-After": str(retry_after)}
    return Fault(503, "Unavailable", "Temporarily unavailable, try again later", headers)


def refused_behind(status: int) -> Fault:
    """The service does not take the WebSocket."""
    return Fault(status, "Refused", "The service did not accept the connection")


def foreign_page() -> Fault:
    """A page of another origin opens a WebSocket."""
    return Fault(403, "ForeignPage", "Pages of this origin may not connect")


def bad_gateway() -> Fault:
    """The service hung up; whether it acted is unknown."""
    return Fault(502, "BadGateway", "The service did not answer properly, try again")


def timed_out() -> Fault:
    """The service took too long; whether it acted is unknown."""
    return Fault(504, "GatewayTimeout", "The service did not answer in time, try again")


def broken() -> Fault:
    """A bug of ours."""
    return Fault(500, "InternalError", "Internal server error")


async def answer(send: Any, shape: Shape, fault: Fault) -> None:
    """Send `fault` as `shape`."""
    body, media_type = _rendered(shape, fault)
    headers: RawHeaders = [
        (b"content-type", media_type),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in fault.headers.items()),
    ]
    await send({"type": "http.response.start", "status": fault.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _rendered(shape: Shape, fault: Fault) -> tuple[bytes, bytes]:
    match shape:
        case Shape.DETAIL:
            return msgspec.json.encode({"detail": fault.said}), b"application/json"
        case Shape.ERROR if (code := CRM_CODES.get(fault.status)) is not None:
            error = {"code": code, "message": fault.detail, "details": {}}
            return msgspec.json.encode({"error": error}), b"application/json"
        case Shape.ERROR:
            return msgspec.json.encode({"detail": fault.said}), b"application/json"
        case Shape.PROBLEM:
            problem = {"type": fault.code, "title": fault.detail, "status": fault.status}
            return msgspec.json.encode(problem), b"application/problem+json"
