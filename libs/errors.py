"""Refusals: the exceptions by which a decision or a handler rejects a command.

Refused              the command is not allowed now             409
├── NotFound         there is no such thing                     404
├── Forbidden        the caller may not do this                 403
├── BadRequest       the request makes no sense as things are   400
├── Unfit            the request holds data we cannot store     422
├── Unauthenticated  the caller is not authenticated            401
└── TooManyRequests  the caller sends too many requests         429

The class name is the stable code in responses, the docstring the sentence for people;
`libs.http.problems` maps the class to a status. `Unavailable` is no refusal but a failure.
"""

from dataclasses import dataclass


class Refused(Exception):
    """The command is not allowed now."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or type(self).__doc__)


class NotFound(Refused):
    """There is no such thing."""


class Forbidden(Refused):
    """The caller may not do this."""


class BadRequest(Refused):
    """The request makes no sense as things are."""


class Unfit(Refused):
    """The request contains data that cannot be stored."""


class Unauthenticated(Refused):
    """The caller is not authenticated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimit:
    """A limit of `quota` requests in a window.

    The name is sent in headers: ASCII without quotation marks.
    """

    name: str
    quota: int
    window_seconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TooMany:
    """Too many attempts. `retry_after` are the seconds until the next one, at least 1."""

    retry_after: int
    limit: RateLimit | None = None
    """None if another attempt is possible at once, for example with a new code."""


class TooManyRequests(Refused):
    """Too many requests; try again later."""

    def __init__(self, *, retry_after_seconds: int, limit: RateLimit | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        self.limit = limit
        # Without a full stop, because clients expect this text.
        super().__init__("Too many requests; try again later")


class Unavailable(Exception):
    """A dependency of this service does not answer at the moment."""

    def __init__(self, what: str = "database", *, retry_after_seconds: int = 2) -> None:
        self.what = what
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{what} unavailable")
