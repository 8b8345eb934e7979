"""How the business says no.

Refused            the command is not allowed now            409
├── NotFound       there is no such thing                     404
├── Forbidden      the caller may not do this                 403
├── Unfit          what was sent cannot be kept               422
├── Unauthenticated  the caller did not say who they are      401
└── TooManyRequests  the caller asks too often                429

The class name is the stable code clients see, the docstring the sentence people see;
`libs.http.problems` maps the class to a status. `Unavailable` is no refusal: nobody decided it.
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


class Unfit(Refused):
    """What was sent cannot be kept."""


class Unauthenticated(Refused):
    """The caller did not say who they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimit:
    """So many requests in a window. The name is ASCII without quotation marks: clients see it."""

    name: str
    quota: int
    window_seconds: int


class TooManyRequests(Refused):
    """Too many requests; try again later."""

    def __init__(self, *, retry_after_seconds: int, limit: RateLimit | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        self.limit = limit
        # Without a full stop: clients show it as it is, and know it so.
        super().__init__("Too many requests; try again later")


class Unavailable(Exception):
    """Something this service needs is away for the moment."""

    def __init__(self, what: str = "database", *, retry_after_seconds: int = 2) -> None:
        self.what = what
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{what} unavailable")
