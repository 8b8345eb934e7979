"""A door: one product's API as its clients know it, and the door and rule of a request."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

WEBSOCKET: Final = "(websocket)"
"""The method of rules that take WebSockets. No method of HTTP can be spelled like this."""


class AuthScheme(StrEnum):
    """How the clients of a door authenticate, which determines the 401 they get.

    Every door accepts API keys and access tokens.
    """

    API_KEY = "api-key"
    BEARER = "bearer"
    CHALLENGE = "challenge"
    """Bearer tokens; a bad token is also answered with a challenge (RFC 6750 §3)."""


class Shape(StrEnum):
    """The body of refusals that the clients of a door expect."""

    DETAIL = "detail"
    """`{"detail": "…"}`"""
    PROBLEM = "problem"
    """RFC 9457."""
    ERROR = "error"
    """`{"error": {"code", "message", "details"}}` for statuses with a code of the crm, otherwise
    `{"detail": "…"}` (spec crm §1.3)."""


class Limit(StrEnum):
    """The rate limit that a route counts against."""

    INGEST = "ingest"
    DASHBOARD = "dashboard"
    REMOVAL = "removal"
    EXPORT = "export"
    LOGIN = "login"
    FAILED_LOGIN = "failed-login"
    REGISTRATION = "registration"
    PUBLIC = "public"
    """Routes without a login that show, place or change orders of customers."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Rule:
    """A route of a door. In `path`, `{}` is one segment and a final `/*` any number of them.

    Without a `scope` the route is public. `slow` allows a longer time to answer, for routes that
    wait for something outside of the service.
    """

    methods: tuple[str, ...]
    path: str
    scope: str | None
    limit: Limit
    slow: bool = False


@dataclass(frozen=True, kw_only=True)
class Door:
    """A door.

    `prefix` is the path it always answers under; paths that begin with one of `root` are answered
    without the prefix as well. `service` is the service behind the door: its address is a setting,
    and it is the audience of internal tokens. `rules` are the service's paths; without any it is
    not installed. `repeated` is a part of paths that some clients send twice. `hosts` are host
    names in lower case that are bound to this door. `origins` are the default origins for CORS:
    pages on a developer's machine. `about` explains the door and its login to client developers, in
    Markdown. `form_login` is the path of a login by a form (OAuth 2, password), empty if there is
    none. With `refuses_by_close` a WebSocket without permission is accepted and closed, since
    scripts of pages see a close code, but no HTTP status. `forbidden` is the refusal of a person
    without permission, which pages display.
    """

    name: str
    prefix: str
    root: tuple[str, ...]
    service: str
    auth_scheme: AuthScheme
    shape: Shape
    repeated: str = ""
    rules: tuple[Rule, ...] = ()
    hosts: frozenset[str] = frozenset()
    origins: tuple[str, ...] = ()
    about: str = ""
    form_login: str = ""
    refuses_by_close: bool = False
    forbidden: str = "You may not do this"

    @cached_property
    def _exact(self) -> Mapping[str, tuple[Rule, ...]]:
        literal = [(_without_slash(r.path), r) for r in self.rules if not _is_pattern(r.path)]
        return {path: tuple(r for p, r in literal if p == path) for path, _ in literal}

    @cached_property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], Rule], ...]:
        return tuple((_compiled(r.path), r) for r in self.rules if _is_pattern(r.path))

    def rules_for(self, path: str) -> tuple[Rule, ...]:
        """The rules of a path, of all methods; a slash at the end of either does not count."""
        path = _without_slash(path)
        if (exact := self._exact.get(path)) is not None:
            return exact
        return tuple(rule for pattern, rule in self._patterns if pattern.fullmatch(path))


@dataclass(frozen=True, slots=True)
class Entry:
    """A path at a door: `path` as the service behind knows it, percent-encoded.

    `prefix` is the door's prefix if the request had it. `shared` is True at the root, where routes
    of other doors may answer as well.
    """

    door: Door
    path: str
    prefix: str
    shared: bool


class NoDoor(Exception):
    """No door answers at this path."""


class Closed(Exception):
    """The door refuses the request. `shape` is the shape of the refusal."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape


class BadPath(Closed):
    """The gateway and the service could read the path differently."""


class NotInstalled(Closed):
    """The door's service is not installed, so that its paths are not known."""

    def __init__(self, shape: Shape, service: str) -> None:
        super().__init__(shape)
        self.service = service


class NoSuchPath(Closed):
    """The door has no rule for the path."""


class NoSuchMethod(Closed):
    """The door has rules for the path, but none for the method."""

    def __init__(self, shape: Shape, allowed: tuple[str, ...]) -> None:
        super().__init__(shape)
        self.allowed = allowed


class WebSocketOnly(Closed):
    """The path accepts WebSockets only."""


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """A request's door, its rule there, and the path at the service, with or without a slash at its
    end as the rule has it."""

    door: Door
    rule: Rule
    path: str


_SLASHES: Final = re.compile(r"/{2,}")
# Sequences that a service might decode to a separator or a step upwards.
_TREACHEROUS: Final = re.compile(r"%2f|%5c|%00|%25|\\|(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_STRANGE: Final = re.compile(r"[^\x21-\x7e]|[?#]")


def match_route(
    doors: Sequence[Door], method: str, raw_path: str, host: str | None = None
) -> RouteMatch:
    """The door and rule of a request; arguments as for `enter`.

    Raises BadPath, NoDoor, NotInstalled, NoSuchPath, NoSuchMethod, WebSocketOnly.
    """
    entry = enter(doors, raw_path, host)
    return _match_rule(entry.door, method, entry.path)


def enter(doors: Sequence[Door], raw_path: str, host: str | None = None) -> Entry:
    """The door of a request; `raw_path` is percent-encoded, without query.

    `host` is as the client sent it, with the port; without it bound hosts are not considered.
    Raises BadPath, NoDoor.
    """
    if _TREACHEROUS.search(raw_path) or _STRANGE.search(raw_path):
        raise BadPath(Shape.DETAIL)
    path = _SLASHES.sub("/", raw_path) if "//" in raw_path else raw_path
    bound = _bound_to(doors, host) if host else None
    for door in doors if bound is None else (bound,):
        entry = _entry(door, path, bound=bound is not None)
        if entry is not None:
            return entry
    raise NoDoor


def _bound_to(doors: Sequence[Door], host: str) -> Door | None:
    name = host.partition(":")[0].rstrip(".").lower()
    return next((door for door in doors if name in door.hosts), None)


def _entry(door: Door, path: str, *, bound: bool) -> Entry | None:
    """The path at the door; None if the path is not the door's."""
    if path == door.prefix or path.startswith(f"{door.prefix}/"):
        path = _without_repetition(door, path[len(door.prefix) :] or "/")
        return Entry(door, path, door.prefix, shared=False)
    path = _without_repetition(door, path)
    if bound:
        return Entry(door, path, "", shared=False)
    if any(path == root or path.startswith(f"{root}/") for root in door.root):
        return Entry(door, path, "", shared=True)
    return None


def _without_repetition(door: Door, path: str) -> str:
    while door.repeated and path.startswith(door.repeated * 2):
        path = path[len(door.repeated) :]
    return path


def _match_rule(door: Door, method: str, path: str) -> RouteMatch:
    if not door.rules:
        raise NotInstalled(door.shape, door.service)
    rules = door.rules_for(path)
    for rule in rules:
        if method in rule.methods:
            slash = "/" if rule.path.endswith("/") else ""
            return RouteMatch(door, rule, path.rstrip("/") + slash)
    if rules:
        raise _wrong_method(door, method, rules)
    raise NoSuchPath(door.shape)


def _wrong_method(door: Door, method: str, rules: tuple[Rule, ...]) -> Closed:
    methods = {m for rule in rules for m in rule.methods}
    if method == WEBSOCKET:
        return NoSuchPath(door.shape)
    if methods == {WEBSOCKET}:
        return WebSocketOnly(door.shape)
    return NoSuchMethod(door.shape, tuple(sorted(methods - {WEBSOCKET})))


def _is_pattern(path: str) -> bool:
    return "{}" in path or path.endswith("/*")


def _without_slash(path: str) -> str:
    return path.rstrip("/") or "/"


def _compiled(path: str) -> re.Pattern[str]:
    pattern = re.escape(_without_slash(path)).replace(r"\{\}", "[^/]+")
    if path.endswith("/*"):
        pattern = pattern.removesuffix(r"/\*") + "(?:/[^/]+)+"
    return re.compile(pattern)
