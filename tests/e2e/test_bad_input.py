"""Whatever is sent, the answer is clear, nothing is lost, and nothing of ours breaks.

The tables of what may be sent are tests/services/ingest/test_bad_input.py; here is what the
wire and the gateway could change of it.
"""

import io
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from tests.e2e.house import House
from tests.e2e.scans import BATCH, QUARANTINE, VERIFY, get, request_json, scan, send

REFUSED: dict[str, tuple[bytes, int]] = {
    "not JSON": (b"<xml/>", 422),
    "nothing": (b"", 422),
    "101 events": (json.dumps({"events": [scan()] * 101}).encode(), 422),
    "nested without end": (b"[" * 200_000, 422),
    "10 MB and more": (b'{"events":["' + b"x" * 10_500_000 + b'"]}', 413),
}


async def test_a_body_that_is_no_batch_is_refused_with_a_message(
    client: aiohttp.ClientSession,
) -> None:
    for name, (body, status) in REFUSED.items():
        async with client.post(BATCH, data=io.BytesIO(body)) as answer:
            text = await answer.text()

        assert answer.status == status, name
        assert set(json.loads(text)) == {"detail"}, name
        assert not [one for one in ("401", "403", "Traceback", "SELECT") if one in text], name
        assert answer.headers["X-Request-Id"], name


async def test_invalid_events_are_quarantined_and_do_not_block_valid_ones(
    client: aiohttp.ClientSession,
) -> None:
    odd = [
        scan(code="a\0b"),
        scan(operator="\udfff"),
        scan(ts=10**30),
        scan(type=["ITEM"]),
        scan(details="x" * 70_000),
        [[]],
    ]
    good, body = scan(), {"Content-Type": "text/plain"}

    answer = await request_json(
        client, "POST", BATCH, data=json.dumps({"events": [*odd, good]}), headers=body
    )

    assert (answer[0], answer[1]["ok"], answer[1]["inserted"]) == (200, True, 1)
    assert len(answer[1]["errors"]) == len(odd)
    _, found = await request_json(client, "POST", VERIFY, json={"uuids": [good["uuid"]]})
    assert found["present"] == [good["uuid"]]
    _, token = await send(client, scan())
    waiting = (await get(client, QUARANTINE, token=token))["events"]
    raw = [(await get(client, f"{QUARANTINE}/{one['id']}"))["raw"] for one in waiting]
    assert sorted(raw) == sorted(map(json.dumps, odd))


async def test_an_invalid_query_gets_a_message(
    client: aiohttp.ClientSession,
) -> None:
    for method, path, statuses in (
        ("GET", "dashboard/state?date=31.02.2026", {400}),
        ("GET", "dashboard/raw?operator=%00", {400}),
        ("GET", f"export/csv?operator={'x' * 5000}", {422}),
        ("GET", "quarantine?offset=99999999999999999999", {422}),
        ("POST", "events/remove", {422}),
        ("POST", "events/bulk-remove", {422}),
        *(("DELETE", f"events/{one}", {400, 404}) for one in ("x", UUID(int=1), "%00", "%F0%9F")),
    ):
        status, answer = await request_json(client, method, f"/api/v1/{path}")
        assert (status in statuses, set(answer)) == (True, {"detail"}), (path, status)


def operations(house: House) -> Iterator[Any]:
    """What ingest says it can do, without what never ends by itself."""
    schema = schemathesis.openapi.from_url(f"{house.ingests[0]}/openapi.json")
    for result in schema.exclude(path_regex="stream$").get_all_operations():
        assert isinstance(result, Ok)
        yield result.ok()


@pytest.mark.slow
@pytest.mark.system
def test_nothing_that_the_schema_allows_or_forbids_breaks_the_service(house: House) -> None:
    tried = 0
    for operation in operations(house):
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        for cases in (operation.as_strategy(generation_mode=mode) for mode in modes):

            @given(case=cases)
            @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
            def bears(case: schemathesis.Case[Any]) -> None:
                answer = case.call(base_url=house.ingests[0], headers=house.bearer())
                case.validate_response(answer, checks=[not_a_server_error])

            with suppress(Unsatisfiable):  # nothing can be wrong where nothing is asked
                bears()
                tried += 1
    assert tried > 20
