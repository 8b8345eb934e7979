"""Call all routes of an API with extreme values, by its OpenAPI document.

Each parameter of a path or a query, and each field of a JSON body, gets each extreme value once,
while all others are usual. No response may be a 5xx.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from httpx import AsyncClient, Response

from libs.testing.routes import Bodies, Route, Values, resolved, routes_of, sample

INTEGERS: Final = ("-1", "0", *(str(2**bits) for bits in (31, 53, 63, 64)), "9" * 40, "9" * 5000)
TEXTS: Final = ("%00", "a%00b", "%ff", "%ed%a0%80", "x" * 3000)
"""Values in a path or a query: NUL, invalid UTF-8, half a surrogate pair, very long."""
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
    """Assert that no request with one extreme value gets a 5xx. Returns the number of requests.

    `usual` are the values of the other parameters by name, such as ids of the caller; a parameter
    without one gets a value made from its schema. `except_for` are routes that stream. `away` are
    statuses by which routes report that another service, which the test lacks, is unavailable.
    """
    count = 0
    for route in routes_of(document):
        if (route.method, route.path) in except_for:
            continue
        body = (bodies or {}).get((route.method, route.path), route.body())
        for url, sent in _requests(route, usual, body):
            answer = await _request(client, route.method, url, sent)
            case = f"{route.method} {url[:200]} {str(sent)[:200]}"
            accepted = answer.status_code < 500 or answer.status_code in away
            assert accepted, f"{case}: {answer.status_code} {answer.text[:500]}"
            count += 1
    return count


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
    """The path with its query; `extreme` values are inserted unencoded."""
    samples = {one["name"]: sample(one["schema"], route.document) for one in route.parameters}
    values = {name: quote(str(value)) for name, value in {**samples, **usual}.items()}
    values |= extreme
    path = route.path
    for name in route.names:
        path = path.replace("{" + name + "}", values[name])
    names = {*route.query(), *extreme} - {*route.names}
    query = "&".join(f"{name}={values[name]}" for name in sorted(names))
    return f"{path}?{query}" if query else path


def _bodies(route: Route, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Copies of the body, each with one extreme value."""
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
