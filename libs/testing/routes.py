"""Walk over all routes of an API as a caller who owns nothing there, by its own description.

A stranger is an account of another tenant, or a second account of the same one that registered
itself.

The routes come from the OpenAPI document, so a new route is walked without being listed anywhere.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from fastapi.routing import iter_route_contexts
from httpx import AsyncClient, Response

from libs.testing.callers import client_of
from libs.testing.polling import PATIENCE_SECONDS

Values: TypeAlias = Mapping[str, str]
"""What to put in the place of a parameter, by its name."""

Bodies: TypeAlias = Mapping[tuple[str, str], Any]
"""Bodies by method and path, where the one made from the schema would be refused for itself."""

METHODS = ("get", "put", "post", "patch", "delete")
UNKNOWN: Final = (404,)
"""The answer to ids of others where the caller may ask for such things."""
UNFIT: Final = (400, 422)
"""The answer to a made-up value of an option that takes no such thing."""
REFUSED: Final = (401, 403, 404)
"""The same where some routes are not for the caller at all."""
BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PARAMETER: Final = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path of an OpenAPI `document`."""

    method: str
    path: str
    operation: Mapping[str, Any]
    document: Mapping[str, Any]

    @property
    def parameters(self) -> list[Mapping[str, Any]]:
        """The parameters in path and query."""
        return [resolved(one, self.document) for one in self.operation.get("parameters", ())]

    @property
    def names(self) -> list[str]:
        """The names of the parameters in the path."""
        return [one["name"] for one in self.parameters if one["in"] == "path"]

    def query(self) -> dict[str, Any]:
        """Values of the query parameters that are required."""
        return {
            one["name"]: sample(one["schema"], self.document)
            for one in self.parameters
            if one["in"] == "query" and one.get("required")
        }

    def options(self) -> list[dict[str, Any]]:
        """Each query parameter that may be left out, by itself, with a value."""
        return [
            {one["name"]: sample(one["schema"], self.document)}
            for one in self.parameters
            if one["in"] == "query" and not one.get("required")
        ]

    def body(self) -> Any:
        """A small JSON body that the schema allows; None if the route takes none."""
        content = self.operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        return None if schema is None else sample(schema, self.document)

    def naming(self, person: Values) -> dict[str, str]:
        """The fields of the JSON body that people are named in, with this person's values.

        `phone` is also what the field `phoneNumber` gets.
        """
        content = self.operation.get("requestBody", {}).get("content", {})
        schema = resolved(content.get("application/json", {}).get("schema", {}), self.document)
        return {
            field: value
            for field in schema.get("properties", {})
            for name, value in person.items()
            if field.lower().startswith(name)
        }


def routes_of(document: Mapping[str, Any]) -> list[Route]:
    """Every route of an OpenAPI document."""
    return [
        Route(method.upper(), path, operation, document)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


def sample(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    """A small value that the schema allows, as far as its keywords are the usual ones."""
    schema = resolved(schema, document)
    if (given := _given(schema)) is not None:
        return given
    if choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return sample(choices[0], document)
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            names = schema.get("required") or [*properties][:1]
            return {name: sample(properties.get(name, {}), document) for name in names}
        case "array":
            return [sample(schema.get("items", {}), document)] * max(1, schema.get("minItems", 1))
        case "null":
            return None
        case kind:
            return _scalar(kind, schema)


def _given(schema: Mapping[str, Any]) -> Any:
    """A value that the schema names itself."""
    several = schema.get("examples") or schema.get("enum") or [None]
    one = schema.get("const", schema.get("default"))
    return several[0] if one is None else one


def _scalar(kind: str | None, schema: Mapping[str, Any]) -> Any:
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    return True if kind == "boolean" else _text(schema)


def _text(schema: Mapping[str, Any]) -> str:
    of_format = {
        "uuid": "00000000-0000-4000-8000-000000000001",
        "date": "2026-01-02",
        "date-time": "2026-01-02T12:00:00Z",
        "email": "somebody@example.com",
    }
    text = of_format.get(schema.get("format", ""), "x")
    return text.ljust(schema.get("minLength", 0), "x")


def resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema, or parameter, that a reference leads to."""
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


async def assert_foreign_ids_are_unknown(
    stranger: AsyncClient,
    document: Mapping[str, Any],
    *,
    foreign: Values,
    unknown: Values,
    bodies: Bodies | None = None,
    except_for: Sequence[tuple[str, str]] = (),
    statuses: Sequence[int] = UNKNOWN,
) -> list[tuple[str, str]]:
    """Every route with a parameter in its path answers one of `statuses` for ids of others.

    The answer must be the same, word for word, as for ids that do not exist. `foreign` and
    `unknown` hold a value for every name of a path parameter: a name without one fails, so a route
    with a new kind of id cannot be forgotten. Returns the routes that were walked; `except_for`
    some.
    """
    walked = []
    for route in _with_parameters(document, except_for):
        theirs, nobodys = [
            await _call(stranger, route, values, bodies or {}) for values in (foreign, unknown)
        ]
        case = f"{route.method} {route.path}: {theirs.status_code} {theirs.text[:500]}"
        assert theirs.status_code in statuses, case
        assert _without(theirs, foreign) == _without(nobodys, unknown), case
        walked.append((route.method, route.path))
    return walked


async def assert_lists_hold_nothing(
    stranger: AsyncClient,
    document: Mapping[str, Any],
    secrets: Sequence[str],
    *,
    except_for: Sequence[tuple[str, str]] = (),
    query: Values | None = None,
    statuses: Sequence[int] = (200, 404),
) -> list[tuple[str, str]]:
    """Every GET without a parameter in its path answers without any of the `secrets` of others.

    Each is asked with what its query must hold, and once more with each value it may hold; it must
    answer one of `statuses`. Returns the routes that were walked; `query` goes with each,
    `except_for` streams and the like.
    """
    walked = []
    for route in _lists(document, except_for):
        for more in ({}, *route.options()):
            params = {**route.query(), **more, **(query or {})}
            answer = await stranger.get(route.path, params=params)
            case = f"{route.path} {more}: {answer.status_code} {answer.text[:500]}"
            assert answer.status_code in (*statuses, *(UNFIT if more else ())), case
            text = answer.content.decode("latin-1")
            assert not [one for one in secrets if one.encode().decode("latin-1") in text], case
        walked.append(("GET", route.path))
    return walked


async def assert_writes_change_nothing_of_others(
    stranger: AsyncClient,
    document: Mapping[str, Any],
    owners: Sequence[AsyncClient],
    *,
    bodies: Bodies | None = None,
    except_for: Sequence[tuple[str, str]] = (),
    statuses: Sequence[int] = (200, 201, 204, *REFUSED, 409),
    people: Sequence[Values] = (),
    settle: Callable[[], Awaitable[None]] | None = None,
) -> list[tuple[str, str]]:
    """What a stranger writes where no id is asked for is their own: the `owners` see what they saw.

    Their every GET without a parameter is compared before and after, each time after `settle` has
    brought the read models level. Each write must answer one of `statuses`, so that none is refused
    for its body alone. Where a body names somebody, each of `people` is named once, by their
    `phone`, `email` and so on. Returns the routes that were walked; `except_for` some, of either
    kind.
    """

    async def views() -> list[dict[str, tuple[int, str]]]:
        if settle is not None:
            await settle()
        return [await _views(owner, document, except_for) for owner in owners]

    before = await views()
    walked = []
    for route in routes_of(document):
        if route.method == "GET" or route.names or (route.method, route.path) in except_for:
            continue
        for fields in [one for person in people if (one := route.naming(person))] or [{}]:
            answer = await _call(stranger, route, {}, bodies or {}, fields)
            case = f"{route.method} {route.path}: {answer.status_code} {answer.text[:500]}"
            assert answer.status_code in statuses, case
        walked.append((route.method, route.path))
    after = await views()
    for seen, now in zip(before, after, strict=True):
        assert now == seen, [path for path in seen if now[path] != seen[path]]
    return walked


async def _views(
    owner: AsyncClient, document: Mapping[str, Any], except_for: Sequence[tuple[str, str]]
) -> dict[str, tuple[int, str]]:
    """What an owner sees, by path."""
    found = {}
    for route in _lists(document, except_for):
        answer = await owner.get(route.path, params=route.query())
        assert answer.status_code < 500, f"{route.path}: {answer.status_code} {answer.text[:500]}"
        found[route.path] = _without(answer, {})
    return found


def _lists(document: Mapping[str, Any], except_for: Sequence[tuple[str, str]]) -> Iterator[Route]:
    for route in routes_of(document):
        if route.method == "GET" and not route.names and ("GET", route.path) not in except_for:
            yield route


async def assert_no_body_is_waited_for(
    app: Any, headers: Mapping[str, str] | None = None
) -> list[str]:
    """Every route that takes a body answers a client who begins one and never goes on.

    Those that read it answer 408. The app must not have much patience. Returns the paths of these;
    `headers` go with each request.
    """
    async with client_of(app, dict(headers or {})) as client:
        asked = {
            (method, _PARAMETER.sub("1", str(context.path)), kind)
            for context in iter_route_contexts(app.routes)
            for method in getattr(context, "methods", None) or ()
            if method not in BODILESS
            for kind in ("application/json", "application/x-www-form-urlencoded")
        }
        late = await asyncio.gather(*(_stall(client, *one) for one in sorted(asked)))
    return [path for path in late if path]


async def _stall(client: AsyncClient, method: str, path: str, kind: str) -> str:
    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            headers = {"Content-Type": kind}
            answer = await client.request(method, path, content=body(), headers=headers)
    except TimeoutError:
        raise AssertionError(f"{method} {path} waits for its body for ever") from None
    assert answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR, f"{method} {path}: {answer.text}"
    return path if answer.status_code == HTTPStatus.REQUEST_TIMEOUT else ""


async def assert_head_is_get_without_a_body(
    client: AsyncClient,
    document: Mapping[str, Any],
    values: Values,
    *,
    endless: Sequence[str] = (),
) -> list[str]:
    """Every GET route answers HEAD with the head of the same answer, and ends there.

    `values` hold a value for every name of a path parameter; of `endless` paths only HEAD is asked
    for. Returns the paths that were walked.
    """
    walked = []
    for route in (one for one in routes_of(document) if one.method == "GET"):
        path = _filled(route, values)
        head = await client.head(path, params=route.query())
        case = f"{path}: {head.status_code} {head.headers}"
        assert (head.content, head.status_code == 405) == (b"", False), case
        if route.path not in endless:
            whole = await client.get(path, params=route.query())
            assert _fixed(head) == _fixed(whole), case
        walked.append(route.path)
    return walked


def _fixed(answer: Response) -> tuple[int, dict[str, str]]:
    """What is the same whenever it is asked for: the length may be that of a moment in it."""
    names = ("content-type", "content-disposition", "cache-control", "location", "vary")
    return answer.status_code, {n: answer.headers[n] for n in names if n in answer.headers}


def _filled(route: Route, values: Values) -> str:
    path = route.path
    for name in route.names:
        path = path.replace("{" + name + "}", values[name])
    return path


def _with_parameters(
    document: Mapping[str, Any], except_for: Sequence[tuple[str, str]]
) -> Iterator[Route]:
    for route in routes_of(document):
        if route.names and (route.method, route.path) not in except_for:
            yield route


async def _call(
    stranger: AsyncClient,
    route: Route,
    values: Values,
    bodies: Bodies,
    fields: Mapping[str, str] | None = None,
) -> Response:
    path = _filled(route, values)
    body = bodies.get((route.method, route.path), route.body())
    if fields:
        body = {**body, **fields}
    return await stranger.request(
        route.method, path, params=route.query(), **({} if body is None else {"json": body})
    )


def _without(answer: Response, values: Values) -> tuple[int, str]:
    """Status and text, but for the ids that were asked for and the request's own."""
    text = answer.text
    if request_id := answer.headers.get("X-Request-Id"):
        text = text.replace(request_id, "<request>")
    for name, value in sorted(values.items(), key=lambda item: -len(item[1])):
        text = text.replace(value, f"<{name}>") if len(value) > 3 else text
    return answer.status_code, text
