"""Nothing that the schema allows or forbids breaks a route, and no text that no table can hold."""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pytest
import schemathesis
from httpx import AsyncClient
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from contracts.routes import published
from libs.testing.extremes import assert_extremes_are_answered
from libs.testing.hostile import RawHeaders, assert_no_request_breaks, inputs_of
from libs.testing.routes import routes_of
from tests.services.gateway.test_bootstrap import served
from tests.services.shop.kit import ShopKit
from tests.services.shop.through_gateway.sending import Ids, filled, send_all
from tests.services.shop.through_gateway.story import FORMS, STORY

LONE: Final = '"\\ud800"'
"""Half a character, which JSON can spell and UTF-8 cannot."""
KINDS: Final = ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "a/b; c=")
MARK: Final = "half"
NAMES: Final = {
    **{f"{name}_id": name for name in ("order", "customer", "product", "ingredient", "component")},
    **{f"{name}_id": name for name in ("task", "supply", "category", "shop", "florist")},
    "comment_id": "remark",
    "item_id": "batch",
    "number": "material",
    "token": "token",
    "name": "file",
    "day": "today",
}
"""The ids of the story by the names of parameters in paths."""


@dataclass
class Counter:
    """The shop without a gateway: `send_all` takes it for an installation."""

    shop: ShopKit

    @asynccontextmanager
    async def client(self, who: object = None) -> AsyncIterator[AsyncClient]:
        async with self.shop.staff() if who else self.shop.anonymous() as client:
            yield client


@pytest.fixture
async def ids(shop: ShopKit) -> Ids:
    """The ids of a shop where everything happened."""
    made: Ids = {"shop": 7, "florist": 3, "courier": 4, "unknown": 999_999_999}
    made["today"] = str(datetime.now(shop.settings.zone).date())
    routes = {(one["method"], one["path"].rstrip("/")) for one in published("shop")}
    counter: Any = Counter(shop)
    await send_all(counter, "anna", made, rows=[one for one in STORY if one.route in routes])
    return made


def usual(ids: Ids) -> dict[str, str]:
    """The parameters of paths by name."""
    return {name: str(ids[key]) for name, key in NAMES.items()}


def bodies_of(document: Any, ids: Ids) -> dict[tuple[str, str], Any]:
    """The body of a row of the story for each route."""
    rows = {one.route: one.body for one in reversed(STORY) if one.body and one.status < 300}
    return {
        (route.method, route.path): filled(rows[key], ids)
        for route in routes_of(document)
        if (key := (route.method, re.sub(r"{\w+}", "{}", route.path).rstrip("/"))) in rows
        and rows[key] not in FORMS
    }


async def test_what_no_column_can_hold_is_answered_on_every_route(shop: ShopKit, ids: Ids) -> None:
    document = shop.app.openapi()
    bodies = bodies_of(document, ids)
    async with shop.staff() as staff:
        sent = await assert_extremes_are_answered(staff, document, usual=usual(ids), bodies=bodies)

    assert sent > 1000


async def test_a_surrogate_and_another_content_type_are_refused(shop: ShopKit, ids: Ids) -> None:
    document = shop.app.openapi()
    async with shop.staff() as staff:
        for (method, path), body in bodies_of(document, ids).items():
            url = path.format(**usual(ids))
            texts = (
                [json.dumps(body | {name: MARK}) for name in body] if isinstance(body, dict) else []
            )
            for text in (*(one.replace(json.dumps(MARK), LONE) for one in texts), LONE, "[" * 9999):
                headers = {"Content-Type": "application/json"}
                answer = await staff.request(method, url, content=text, headers=headers)
                assert answer.status_code < 500, (method, url, text, answer.text)
            for kind in KINDS:
                headers = {"Content-Type": kind}
                answer = await staff.request(method, url, content=json.dumps(body), headers=headers)
                assert answer.status_code < 500, (method, url, kind, answer.text)


async def test_no_request_breaks_a_route(shop: ShopKit, ids: Ids) -> None:
    async with shop.staff() as staff:
        token = staff.headers["authorization"].encode()

    def credentials(_: random.Random) -> RawHeaders:
        return [(b"authorization", token)]

    routes = inputs_of(shop.app)
    requests = await assert_no_request_breaks(
        shop.app, routes, credentials, per_route=20, ids=[str(ids["order"]), ids["token"]]
    )
    assert requests > len(routes)


@pytest.mark.slow
@pytest.mark.system
async def test_nothing_that_the_schema_allows_or_forbids_breaks_the_service(
    shop: ShopKit, ids: Ids
) -> None:
    async with served(shop.app) as url, shop.staff() as staff:
        headers = {"Authorization": staff.headers["authorization"]}
        assert await asyncio.to_thread(_try_all, shop.app.openapi(), url, headers) > 100


def _try_all(document: Any, url: str, headers: dict[str, str]) -> int:
    """Send what the schema allows and forbids; the number of operations. Raises if one breaks."""
    tried = 0
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        assert isinstance(result, Ok)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @given(case=result.ok().as_strategy(generation_mode=mode))
            @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
            def bears(case: schemathesis.Case[Any]) -> None:
                answer = case.call(base_url=url, headers=headers)
                case.validate_response(answer, checks=[not_a_server_error])

            with suppress(Unsatisfiable):  # nothing can be wrong where nothing is asked
                bears()
                tried += 1
    return tried
