"""A door: one product's API as its clients know it, and how a request finds it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

WEBSOCKET: Final = "(websocket)"
"""The method of rules that take WebSockets. No method of HTTP can be spelled like this."""


class Login(StrEnum):
    """How the clients of a door say who they are, and so what they read when they do not.

    Whatever they are used to, a key or a token opens any door.
    """

    API_KEY = "api-key"
    BEARER = "bearer"
    CHALLENGE = "challenge"
    """The same; a bad token is answered by a challenge too (RFC 6750 §3)."""


class Shape(StrEnum):
    """What the clients of a door read when they are told no."""

    DETAIL = "detail"
    """`{"detail": "…"}`"""
    PROBLEM = "problem"
    """RFC 9457."""
    ERROR = "error"
    """`{"error": {"code", "message", "details"}}` for what the crm's table has codes for, otherwise
    `{"detail": "…"}` (spec crm §1.3)."""


class Limit(StrEnum):
    """Which rate limit a route counts against."""

    INGEST = "ingest"
    DASHBOARD = "dashboard"
    REMOVAL = "removal"
    EXPORT = "export"
    LOGIN = "login"
    FAILED_LOGIN = "failed-login"
    REGISTRATION = "registration"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may pass where. In `path`, `{}` is one segment and a final `/*` any number of them.

    Without a `scope` everybody may pass, unnamed. `idempotent` ones keep what they answered to an
    `Idempotency-Key`: it must not hold a secret. `slow` ones wait for something outside.
    """

    methods: tuple[str, ...]
    path: str
    scope: str | None
    limit: Limit
    idempotent: bool = False
    slow: bool = False


@dataclass(frozen=True, kw_only=True)
class Door:
    """A door.

    `prefix` is where it always answers; `rules` are paths of the service behind it, and it answers
    at the root for those that begin with one of `root`. `service` names that service: its address
    is a setting, and it is the audience of the tokens; it is empty while there is none. `repeated`
    is the part of a path that some clients write twice. `hosts` are names in lower case under which
    there is nothing but this door. `origins` are pages on a developer's machine, which the contract
    of its client lists; they may call unless an installation names its own.
    """

    name: str
    prefix: str
    root: tuple[str, ...]
    repeated: str
    service: str
    login: Login
    shape: Shape
    rules: tuple[Rule, ...]
    hosts: frozenset[str] = frozenset()
    origins: tuple[str, ...] = ()

    @cached_property
    def _exact(self) -> Mapping[str, tuple[Rule, ...]]:
        paths = {rule.path for rule in self.rules if not _is_pattern(rule.path)}
        return {path: tuple(r for r in self.rules if r.path == path) for path in paths}

    @cached_property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], Rule], ...]:
        return tuple((_compiled(r.path), r) for r in self.rules if _is_pattern(r.path))

    def rules_for(self, path: str) -> tuple[Rule, ...]:
        """The rules of a path, whatever their methods."""
        if (exact := self._exact.get(path)) is not None:
            return exact
        return tuple(rule for pattern, rule in self._patterns if pattern.fullmatch(path))


@dataclass(frozen=True, slots=True)
class Entry:
    """A path at a door: `inner` as the service behind knows it, percent-encoded.

    `prefix` is what it was asked with in front of that. `shared` are the paths at the root, where
    others may answer as well.
    """

    door: Door
    inner: str
    prefix: str
    shared: bool


class NoDoor(Exception):
    """No door answers at this path."""


class Closed(Exception):
    """The request may not pass. `shape` is what its client reads."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape


class BadPath(Closed):
    """The path could mean one thing here and another behind the door."""


class NoSuchPath(Closed):
    """The door knows no such path."""


class NoSuchMethod(Closed):
    """The path is there, but not for this method."""

    def __init__(self, shape: Shape, allowed: tuple[str, ...]) -> None:
        super().__init__(shape)
        self.allowed = allowed


class WebSocketOnly(Closed):
    """What is there speaks WebSocket, and was not asked to."""


class TrailingSlash(Closed):
    """The path is there without its last slash; `path` is how to ask for it."""

    def __init__(self, shape: Shape, path: str) -> None:
        super().__init__(shape)
        self.path = path


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """A request's door, its rule there, and the path to ask the service for."""

    door: Door
    rule: Rule
    path: str


_SLASHES: Final = re.compile(r"/{2,}")
# What a server behind us might decode into a separator or a step upwards.
_TREACHEROUS: Final = re.compile(r"%2f|%5c|%00|%25|\\|(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_STRANGE: Final = re.compile(r"[^\x21-\x7e]|[?#]")


def find(doors: Sequence[Door], method: str, raw_path: str, host: str | None = None) -> RouteMatch:
    """The door and rule for a request, as `enter` takes it.

    Raises BadPath, NoDoor, NoSuchPath, NoSuchMethod, WebSocketOnly, TrailingSlash.
    """
    entry = enter(doors, raw_path, host)
    return _find_rule(entry.door, method, entry.inner, entry.prefix + entry.inner)


def enter(doors: Sequence[Door], raw_path: str, host: str | None = None) -> Entry:
    """The door for a request; `raw_path` is percent-encoded, without query.

    `host` is as the client wrote it, port included; without it no door is found by its host.
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
    """The path at the door, or None if it is not the door's."""
    if path == door.prefix or path.startswith(f"{door.prefix}/"):
        inner = _without_repetition(door, path[len(door.prefix) :] or "/")
        return Entry(door, inner, door.prefix, shared=False)
    inner = _without_repetition(door, path)
    if bound:
        return Entry(door, inner, "", shared=False)
    if any(inner == root or inner.startswith(f"{root}/") for root in door.root):
        return Entry(door, inner, "", shared=True)
    return None


def _without_repetition(door: Door, path: str) -> str:
    while door.repeated and path.startswith(door.repeated * 2):
        path = path[len(door.repeated) :]
    return path


def _find_rule(door: Door, method: str, inner: str, asked: str) -> RouteMatch:
    rules = door.rules_for(inner)
    for rule in rules:
        if method in rule.methods:
            return RouteMatch(door, rule, inner)
    if rules:
        raise _misused(door, method, rules)
    if inner.endswith("/") and door.rules_for(inner.rstrip("/")):
        raise TrailingSlash(door.shape, asked.rstrip("/"))
    raise NoSuchPath(door.shape)


def _misused(door: Door, method: str, rules: tuple[Rule, ...]) -> Closed:
    methods = {m for rule in rules for m in rule.methods}
    if method == WEBSOCKET:
        return NoSuchPath(door.shape)
    if methods == {WEBSOCKET}:
        return WebSocketOnly(door.shape)
    return NoSuchMethod(door.shape, tuple(sorted(methods - {WEBSOCKET})))


def _is_pattern(path: str) -> bool:
    return "{}" in path or path.endswith("/*")


def _compiled(path: str) -> re.Pattern[str]:
    pattern = re.escape(path).replace(r"\{\}", "[^/]+")
    if path.endswith("/*"):
        pattern = pattern.removesuffix(r"/\*") + "(?:/[^/]+)+"
    return re.compile(pattern)
