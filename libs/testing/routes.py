"""Call all routes of an API as a stranger: a caller who owns nothing there.

A stranger is an account of another tenant, or another account of the same tenant without rights.
The routes come from the OpenAPI document, so a new route is called without being listed anywhere.
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
"""Values of parameters by name."""

Bodies: TypeAlias = Mapping[tuple[str, str], Any]
"""Bodies by method and path, for routes that reject the body made from the schema."""

METHODS = ("get", "put", "post", "patch", "delete")
NOT_FOUND: Final = (404,)
"""The response to foreign ids if the caller may use the route."""
INVALID: Final = (400, 422)
"""The response to an invalid value of an option."""
REFUSED: Final = (401, 403, 404)
"""The response to foreign ids if the caller may not use some routes."""
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
        """One query with a value for each optional query parameter."""
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

    def contact_fields(self, person: Values) -> dict[str, str]:
        """The fields of the JSON body that contain contact data, with this person's values.

        A field matches if its name begins with a key of `person`: `phone` also fills `phoneNumber`.
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
    """A small valid value, as far as the schema uses common keywords."""
    schema = resolved(schema, document)
    if (example := _example(schema)) is not None:
        return example
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


def _example(schema: Mapping[str, Any]) -> Any:
    """A value that the schema gives itself."""
    values = schema.get("examples") or schema.get("enum") or [None]
    fixed = schema.get("const", schema.get("default"))
    return values[0] if fixed is None else fixed


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
    """The schema or parameter itself in place of a reference."""
    while "$ref" in schema:
        target: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema


async def assert_foreign_ids_are_unknown(
    stranger: AsyncClient,
    document: Mapping[str, Any],
    *,
    foreign: Values,
    unknown: Values,
    bodies: Bodies | None = None,
    except_for: Sequence[tuple[str, str]] = (),
    statuses: Sequence[int] = NOT_FOUND,
) -> list[tuple[str, str]]:
    """Assert that routes with a path parameter answer one of `statuses` to ids of others.

    The response must equal the one for ids that do not exist. `foreign` and `unknown` have a value
    for every path parameter; a missing one is an error, so a route with a new kind of id cannot be
    forgotten. Returns the called routes, which are all but `except_for`.
    """
    called = []
    for route in _with_parameters(document, except_for):
        to_foreign, to_unknown = [
            await _call(stranger, route, values, bodies or {}) for values in (foreign, unknown)
        ]
        case = f"{route.method} {route.path}: {to_foreign.status_code} {to_foreign.text[:500]}"
        assert to_foreign.status_code in statuses, case
        assert _without(to_foreign, foreign) == _without(to_unknown, unknown), case
        called.append((route.method, route.path))
    return called


async def assert_lists_reveal_nothing(
    stranger: AsyncClient,
    document: Mapping[str, Any],
    secrets: Sequence[str],
    *,
    except_for: Sequence[tuple[str, str]] = (),
    query: Values | None = None,
    statuses: Sequence[int] = (200, 404),
) -> list[tuple[str, str]]:
    """Assert that no GET without a path parameter returns any of the `secrets` of others.

    Each is called with its required query, and again with each optional parameter; it must answer
    one of `statuses`. `query` is added to each request, `except_for` are streams and the like.
    Returns the called routes.
    """
    called = []
    for route in _lists(document, except_for):
        for option in ({}, *route.options()):
            params = {**route.query(), **option, **(query or {})}
            answer = await stranger.get(route.path, params=params)
            case = f"{route.path} {option}: {answer.status_code} {answer.text[:500]}"
            assert answer.status_code in (*statuses, *(INVALID if option else ())), case
            text = answer.content.decode("latin-1")
            assert not [one for one in secrets if one.encode().decode("latin-1") in text], case
        called.append(("GET", route.path))
    return called


async def assert_writes_change_nothing_of_others(
    stranger: AsyncClient,
    document: Mapping[str, Any],
    owners: Sequence[AsyncClient],
    *,
    bodies: Bodies | None = None,
    except_for: Sequence[tuple[str, str]] = (),
    statuses: Sequence[int] = (200, 201, 204, *REFUSED, 409),
    people: Sequence[Values] = (),
    catch_up: Callable[[], Awaitable[None]] | None = None,
) -> list[tuple[str, str]]:
    """Assert that writes of a stranger without an id change nothing that the `owners` see.

    All GET routes of the owners without a path parameter are compared before and after, each time
    after `catch_up`, which brings the read models up to date. Each write must answer one of
    `statuses`, so that none is rejected for its body alone. A body with contact data is sent once
    for each of `people`, with their `phone`, `email` and so on. Returns the called routes, which
    are all but `except_for`.
    """

    async def views() -> list[dict[str, tuple[int, str]]]:
        if catch_up is not None:
            await catch_up()
        return [await _views(owner, document, except_for) for owner in owners]

    before = await views()
    called = []
    for route in routes_of(document):
        if route.method == "GET" or route.names or (route.method, route.path) in except_for:
            continue
        for fields in [one for person in people if (one := route.contact_fields(person))] or [{}]:
            answer = await _call(stranger, route, {}, bodies or {}, fields)
            case = f"{route.method} {route.path}: {answer.status_code} {answer.text[:500]}"
            assert answer.status_code in statuses, case
        called.append((route.method, route.path))
    after = await views()
    for old, new in zip(before, after, strict=True):
        assert new == old, [path for path in old if new[path] != old[path]]
    return called


async def _views(
    owner: AsyncClient, document: Mapping[str, Any], except_for: Sequence[tuple[str, str]]
) -> dict[str, tuple[int, str]]:
    """The responses to an owner by path."""
    views = {}
    for route in _lists(document, except_for):
        answer = await owner.get(route.path, params=route.query())
        assert answer.status_code < 500, f"{route.path}: {answer.status_code} {answer.text[:500]}"
        views[route.path] = _without(answer, {})
    return views


def _lists(document: Mapping[str, Any], except_for: Sequence[tuple[str, str]]) -> Iterator[Route]:
    for route in routes_of(document):
        if route.method == "GET" and not route.names and ("GET", route.path) not in except_for:
            yield route


async def assert_incomplete_bodies_time_out(
    app: Any, headers: Mapping[str, str] | None = None
) -> list[str]:
    """Assert that every route with a body answers a client that stops in the middle of one.

    Returns the paths of the routes that read the body and answer 408. The app needs a short body
    timeout. `headers` are sent with each request.
    """
    async with client_of(app, dict(headers or {})) as client:
        requests = {
            (method, _PARAMETER.sub("1", str(context.path)), kind)
            for context in iter_route_contexts(app.routes)
            for method in getattr(context, "methods", None) or ()
            if method not in BODILESS
            for kind in ("application/json", "application/x-www-form-urlencoded")
        }
        late = await asyncio.gather(*(_stall(client, *one) for one in sorted(requests)))
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
    """Assert that HEAD on every GET route gives the same status and headers without a body.

    `values` has a value for every path parameter; `endless` paths are only called with HEAD.
    Returns the called paths.
    """
    called = []
    for route in (one for one in routes_of(document) if one.method == "GET"):
        path = _filled(route, values)
        head = await client.head(path, params=route.query())
        case = f"{path}: {head.status_code} {head.headers}"
        assert (head.content, head.status_code == 405) == (b"", False), case
        if route.path not in endless:
            whole = await client.get(path, params=route.query())
            assert _fixed(head) == _fixed(whole), case
        called.append(route.path)
    return called


def _fixed(answer: Response) -> tuple[int, dict[str, str]]:
    """The status and the headers that do not change from request to request."""
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
    """Status and text, without the requested ids and the id of the request."""
    text = answer.text
    if request_id := answer.headers.get("X-Request-Id"):
        text = text.replace(request_id, "<request>")
    for name, value in sorted(values.items(), key=lambda item: -len(item[1])):
        text = text.replace(value, f"<{name}>") if len(value) > 3 else text
    return answer.status_code, text
