"""Walk over all routes of an API with values that no column can hold, by its own description.

Each parameter of a path or a query, and each field of a JSON body, is given each of these values
while all others are as usual. The answer must not be that the service failed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from httpx import AsyncClient, Response

from libs.testing.routes import Bodies, Route, Values, resolved, routes_of, sample

INTEGERS: Final = ("-1", "0", *(str(2**bits) for bits in (31, 53, 63, 64)), "9" * 40, "9" * 5000)
TEXTS: Final = ("%00", "a%00b", "%ff", "%ed%a0%80", "x" * 3000)
"""As they stand in a path or a query: NUL, no UTF-8, half a surrogate pair, and very long."""
NUMBERS: Final = (-1, 2**31, 2**63 - 1, 2**63, 10**40, 1e308)
STRINGS: Final = ("\0", "a\0b", "x" * 3000)


async def assert_extremes_are_answered(
    client: AsyncClient,
    document: Mapping[str, Any],
    *,
    usual: Values,
    bodies: Bodies | None = None,
    except_for: Sequence[tuple[str, str]] = (),
    away: Collection[int] = (),
) -> int:
    """No request with one value out of all bounds is answered with 5xx; how many were made.

    `usual` are the other parameters' values by name, such as ids of the caller's own; one without
    is made from its schema. `except_for` routes that stream. `away` are statuses by which routes
    say that another service, which the test does not have, is not there.
    """
    made = 0
    for route in routes_of(document):
        if (route.method, route.path) in except_for:
            continue
        body = (bodies or {}).get((route.method, route.path), route.body())
        for url, sent in _requests(route, usual, body):
            answer = await _request(client, route.method, url, sent)
            case = f"{route.method} {url[:200]} {str(sent)[:200]}"
            fine = answer.status_code < 500 or answer.status_code in away
            assert fine, f"{case}: {answer.status_code} {answer.text[:500]}"
            made += 1
    return made


async def _request(client: AsyncClient, method: str, url: str, body: Any) -> Response:
    return await client.request(method, url, **({} if body is None else {"json": body}))


def _requests(route: Route, usual: Values, body: Any) -> Iterator[tuple[str, Any]]:
    for one in route.parameters:
        if one["in"] in ("path", "query"):
            for value in _extremes(one["schema"], route.document):
                yield _url(route, usual, {one["name"]: value}), body
    if isinstance(body, dict):
        url = _url(route, usual, {})
        yield from ((url, changed) for changed in _bodies(route, body))


def _url(route: Route, usual: Values, extreme: Values) -> str:
    """The path with its query; `extreme` values stand there as they are."""
    made = {one["name"]: sample(one["schema"], route.document) for one in route.parameters}
    given = {name: quote(str(value)) for name, value in {**made, **usual}.items()}
    given |= extreme
    path = route.path
    for name in route.names:
        path = path.replace("{" + name + "}", given[name])
    wanted = {*route.query(), *extreme} - {*route.names}
    query = "&".join(f"{name}={given[name]}" for name in sorted(wanted))
    return f"{path}?{query}" if query else path


def _bodies(route: Route, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The body with one field changed at a time."""
    content = route.operation["requestBody"]["content"].get("application/json", {})
    fields = resolved(content.get("schema", {}), route.document).get("properties", {})
    for name, schema in fields.items():
        kinds = _kinds(schema, route.document)
        numbers = NUMBERS if kinds & {"integer", "number"} else ()
        texts = STRINGS if kinds & {"string", ""} else ()
        yield from ({**body, name: value} for value in (*numbers, *texts))


def _extremes(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Sequence[str]:
    kinds = _kinds(schema, document)
    return INTEGERS if kinds & {"integer", "number"} else TEXTS


def _kinds(schema: Mapping[str, Any], document: Mapping[str, Any]) -> set[str]:
    schema = resolved(schema, document)
    choices = schema.get("anyOf") or schema.get("oneOf") or ()
    return {kind for one in choices for kind in _kinds(one, document)} or {schema.get("type", "")}
