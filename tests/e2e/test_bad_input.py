"""Whatever is sent, the answer is clear, nothing is lost, and nothing of ours breaks.

Longer than most: the tables of what is sent are the test.
"""

import io
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aiohttp
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from deploy.local.postgres import query
from tests.e2e.house import KEY, House, open_house, post_until_known

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TS = 1_761_901_200_000
DAY = "2025-10-31"
BATCH = "/api/v1/events/batch"
BEAR = list(HealthCheck)
SQL = "'; DROP TABLE events; --"
HTML = "<img src=x onerror=alert('401')>"


@pytest.fixture(scope="module")
def house(postgres_url: str, kafka_bootstrap: str) -> Iterator[House]:
    """One house for all of the abuse: it must bear it."""
    home = Path(tempfile.mkdtemp(prefix="tillstream-abuse-"))
    name = f"abuse_{uuid4().hex}"
    query(postgres_url, f"create database {name}")
    database = urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
    try:
        with open_house(database, kafka_bootstrap, home, told=UNLIMITED) as opened:
            yield opened
    finally:
        query(postgres_url, f"drop database {name} with (force)")
        shutil.rmtree(home)


UNLIMITED = {
    "GATEWAY_RATE_LIMIT_INGEST": "",
    "GATEWAY_RATE_LIMIT_DASHBOARD": "",
    "GATEWAY_RATE_LIMIT_REMOVAL": "",
    "GATEWAY_RATE_LIMIT_EXPORT": "",
}


@pytest.fixture
async def client(house: House) -> AsyncIterator[aiohttp.ClientSession]:
    """A scanner at the gateway."""
    await post_until_known(house.gateway, {"uuids": ["x"]})
    async with aiohttp.ClientSession(house.gateway, headers={"X-API-Key": KEY}) as session:
        yield session


def event(**changes: Any) -> dict[str, Any]:
    told = {
        "uuid": str(uuid4()),
        "ts": TS,
        "type": "ITEM",
        "operator": "anna",
        "client": "ivancov",
        "city": "Novosem",
        "box": "ivancov/8",
        "code": "1",
        "details": "",
        "source": "pwa",
    }
    return told | changes


async def stored(client: aiohttp.ClientSession, uuid: str) -> bool:
    async with client.post("/api/v1/events/verify", json={"uuids": [uuid]}) as answer:
        return bool((await answer.json())["present"])


REFUSED: dict[str, tuple[bytes, int]] = {
    "not JSON": (b"<xml/>", 422),
    "nothing": (b"", 422),
    "half of it": (b'{"events":[{"uuid":', 422),
    "a list": (b"[]", 422),
    "no events": (b"{}", 422),
    "an empty list": (b'{"events":[]}', 422),
    "101 events": (json.dumps({"events": [event()] * 101}).encode(), 422),
    "nested without end": (b"[" * 200_000, 422),
    "10 MB and more": (b'{"events":["' + b"x" * 10_500_000 + b'"]}', 413),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_no_batch_is_refused_in_a_sentence(
    client: aiohttp.ClientSession, name: str
) -> None:
    body, status = REFUSED[name]

    async with client.post(BATCH, data=io.BytesIO(body)) as answer:
        said = await answer.json()

    assert answer.status == status
    assert set(said) == {"detail"}
    text = json.dumps(said)
    assert "401" not in text
    assert "403" not in text
    assert "Traceback" not in text
    assert "SELECT" not in text
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "headers", [{}, {"X-API-Key": "wrong"}, {"X-API-Key": "your_secret_api_key"}, {"X-API-Key": ""}]
)
async def test_a_wrong_key_opens_nothing_and_stores_nothing(
    house: House, client: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    sent = event()
    async with (
        aiohttp.ClientSession(house.gateway, headers=headers) as stranger,
        stranger.post(BATCH, json={"events": [sent]}) as answer,
    ):
        assert answer.status == 401
        assert await answer.json() == {"detail": "Invalid or missing API key"}
    assert not await stored(client, sent["uuid"])


ODD: dict[str, dict[str, Any]] = {
    "a bad uuid": {"uuid": "not-a-uuid"},
    "an empty uuid": {"uuid": ""},
    "a uuid that is a number": {"uuid": 7},
    "NUL": {"code": "a\0b"},
    "a lone surrogate": {"code": "a\ud800b"},
    "a lone surrogate in the operator": {"operator": "\udfff"},
    "seconds instead of milliseconds": {"ts": TS // 1000},
    "the year 1970": {"ts": 0},
    "a negative time": {"ts": -1},
    "a time that is text": {"ts": "yesterday"},
    "a broken time": {"ts": TS + 0.5},
    "a time without end": {"ts": 10**30},
    "no type": {"type": None},
    "a type that is a list": {"type": ["ITEM"]},
    "an operator of 101 letters": {"operator": "я" * 101},
    "a code of 501 letters": {"code": "9" * 501},
    "a code that is a number": {"code": 2042469234860},
    "details beyond all measure": {"details": "x" * 70_000},
}


@pytest.mark.parametrize("name", ODD)
async def test_an_event_that_is_no_scan_is_kept_and_does_not_hold_up_its_neighbour(
    client: aiohttp.ClientSession, name: str
) -> None:
    good, bad = event(), event(**ODD[name])

    async with client.post(
        BATCH, data=json.dumps({"events": [bad, good]}), headers={"Content-Type": "text/plain"}
    ) as answer:
        said = await answer.json()
        token = answer.headers["X-Consistency-Token"]

    assert (answer.status, said["ok"], said["inserted"]) == (200, True, 1)
    assert len(said["errors"]) == 1
    assert await stored(client, good["uuid"])
    async with client.get(
        "/api/v1/quarantine", params={"limit": "1"}, headers={"X-Consistency-Token": token}
    ) as answer:
        (newest,) = (await answer.json())["events"]
    async with client.get(f"/api/v1/quarantine/{newest['id']}") as answer:
        assert json.loads((await answer.json())["raw"]) == bad


async def test_no_member_of_a_batch_needs_to_be_an_object(client: aiohttp.ClientSession) -> None:
    odd: list[Any] = [None, 7, "ITEM", [], [[]], True, {}]

    async with client.post(BATCH, json={"events": odd}) as answer:
        said = await answer.json()

    assert (answer.status, said["inserted"], len(said["errors"])) == (200, 0, len(odd))


async def test_a_clock_ahead_of_time_is_believed_only_up_to_now(
    client: aiohttp.ClientSession,
) -> None:
    sent = event(ts=4_102_444_800_000)

    async with client.post(BATCH, json={"events": [sent]}) as answer:
        assert (await answer.json())["inserted"] == 1
        token = answer.headers["X-Consistency-Token"]
    async with client.get("/api/v1/dashboard/raw", headers={"X-Consistency-Token": token}) as today:
        (row,) = [one for one in (await today.json())["logs"] if one["uuid"] == sent["uuid"]]
    assert row["skewed"]
    assert row["tsMs"] == row["receivedAtMs"]


@pytest.mark.parametrize("text", [SQL, HTML, "=1+1", "٣\u202e", "\x07\x1b[31m", "%s%n{0}$1"])
async def test_hostile_text_in_every_field_is_stored_and_shown_as_it_is(
    client: aiohttp.ClientSession, text: str
) -> None:
    names = ("type", "operator", "client", "city", "box", "code", "details", "source")
    sent = event(**dict.fromkeys(names, text))
    async with client.post(BATCH, json={"events": [sent]}) as answer:
        assert (await answer.json())["inserted"] == 1
        token = answer.headers["X-Consistency-Token"]

    asked = {"date": DAY, "operator": text, "client": text, "city": text, "type": text}
    async with client.get(
        "/api/v1/dashboard/raw", params=asked, headers={"X-Consistency-Token": token}
    ) as answer:
        (row,) = (await answer.json())["logs"]
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert {name: row[name] for name in names} == {name: sent[name] for name in names}
    for path in ("state", "boxes"):
        async with client.get(f"/api/v1/dashboard/{path}", params=asked) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "application/json"


QUESTIONS = (
    "dashboard/state",
    "dashboard/boxes",
    "dashboard/raw",
    "logs/raw",
    "export/csv",
    "export/boxes-csv",
    "export/excel",
    "deletions",
    "quarantine",
)
NONSENSE: tuple[dict[str, str], ...] = (
    {"date": "31.02.2026"},
    {"date": "2026-13-01"},
    {"date": "20261031"},
    {"date": SQL},
    {"date": "2025-01-01", "date_end": "2026-12-31"},
    {"date": "9999-12-31"},
    {"date": "0001-01-01"},
    {"operator": "\0"},
    {"operator": "x" * 5000},
    {"client": HTML},
    {"limit": "0", "offset": "-1"},
    {"limit": "many"},
    {"offset": "99999999999999999999"},
    {"as_of": "soon"},
    {"as_of": "2025-10-31"},
    {"after": "x"},
    {"status": SQL, "code": "\0"},
)


@pytest.mark.parametrize("path", QUESTIONS)
async def test_a_question_that_makes_no_sense_gets_a_sentence(
    client: aiohttp.ClientSession, path: str
) -> None:
    for asked in NONSENSE:
        async with client.get(f"/api/v1/{path}", params=asked) as answer:
            assert answer.status in {200, 400, 422}, asked
            await answer.read()
            if answer.status != 200:
                assert set(await answer.json()) == {"detail"}, asked


@pytest.mark.parametrize("path", ["remove", "bulk-remove"])
@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"operator":""}', b'{"operator":"a","uuids":["x"],"box":7,"code":null}'],
)
async def test_a_removal_that_makes_no_sense_removes_nothing(
    client: aiohttp.ClientSession, path: str, body: bytes
) -> None:
    async with client.post(f"/api/v1/events/{path}", data=body) as answer:
        assert answer.status == 422
        assert isinstance((await answer.json())["detail"], list)


@pytest.mark.parametrize("uuid", ["x", str(UUID(int=1)), "%00", "%F0%9F%8D%8E"])
async def test_what_does_not_exist_cannot_be_deleted(
    client: aiohttp.ClientSession, uuid: str
) -> None:
    async with client.delete(f"/api/v1/events/{uuid}") as answer:
        assert answer.status in {400, 404}
        assert set(await answer.json()) == {"detail"}


def operations(house: House) -> Iterator[Any]:
    """What ingest says it can do, without what never ends by itself."""
    schema = schemathesis.openapi.from_url(f"{house.ingests[0]}/openapi.json")
    for result in schema.exclude(path_regex="stream$").get_all_operations():
        assert isinstance(result, Ok)
        yield result.ok()


def test_nothing_that_the_schema_allows_or_forbids_breaks_the_service(house: House) -> None:
    tried = 0
    for operation in operations(house):
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        for cases in (operation.as_strategy(generation_mode=mode) for mode in modes):

            @given(case=cases)
            @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=BEAR)
            def bears(case: schemathesis.Case[Any]) -> None:
                answer = case.call(base_url=house.ingests[0], headers=house.bearer())
                case.validate_response(answer, checks=[not_a_server_error])

            with suppress(Unsatisfiable):  # nothing can be wrong where nothing is asked
                bears()
                tried += 1
    assert tried > 20
