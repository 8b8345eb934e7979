"""Conditions of requests and the tags of answers travel through the doors as they are."""

from dataclasses import replace
from typing import Final

from aiohttp import web

from services.gateway.domain.doors import SCALES
from tests.services.gateway.api.doorstep import bearer, doorstep
from tests.services.gateway.conftest import PAGE, Keys, Service

DOORS: Final = (replace(SCALES, service="ingest"),)
COPY: Final = "/devices/7/products/cached"


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    if request.method == "PATCH":
        status = 200 if request.headers.get("If-Match") == '"1", W/"x"' else 412
        return web.json_response({"detail": "no"}, status=status, headers={"ETag": '"2"'})
    if request.headers.get("If-None-Match") == 'W/"1"':
        return web.Response(status=304, headers={"ETag": '"1"'})
    return web.json_response({}, headers={"ETag": '"1"', "Link": '<?cursor=x>; rel="next"'})


async def test_who_has_an_answer_is_told_so_in_no_words(service: Service, keys: Keys) -> None:
    service.answer = _answer
    async with doorstep(service, keys, doors=DOORS) as step:
        headers = {**bearer(step.token("scales:read")), "Origin": PAGE}
        for path in (COPY, f"/scales{COPY}"):
            whole = await step.client.get(path, headers=headers)
            again = await step.client.get(path, headers={**headers, "If-None-Match": 'W/"1"'})

            assert (whole.status_code, whole.headers["ETag"]) == (200, '"1"')
            assert whole.headers["Link"] == '<?cursor=x>; rel="next"'
            assert (again.status_code, again.headers["ETag"]) == (304, '"1"')
            assert again.content == b""
            exposed = whole.headers["Access-Control-Expose-Headers"].split(", ")
            assert {"ETag", "Link"} <= {*exposed}


async def test_a_change_is_made_of_what_was_seen_only(service: Service, keys: Keys) -> None:
    service.answer = _answer
    async with doorstep(service, keys, doors=DOORS) as step:
        headers = bearer(step.token("scales:write"))
        for tags, status in (('"1", W/"x"', 200), ('"0"', 412)):
            answer = await step.client.patch(
                "/scales/devices/7/products/1",
                headers={**headers, "If-Match": tags},
                json={"fields": {}},
            )
            assert (answer.status_code, answer.headers["ETag"]) == (status, '"2"')
            assert answer.json() == {"detail": "no"}
