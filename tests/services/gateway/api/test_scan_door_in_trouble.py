"""The scan door when something is too slow, too large, too much or away."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from httpx import AsyncClient, Response

from libs.testing.servers import crooked
from libs.testing.waiting import eventually
from services.gateway.adapters.limits import Limits, allowances
from services.gateway.domain.door import Limit
from services.gateway.settings import Settings
from tests.services.gateway.api.test_scan_door import BATCH, SCANNER, STATE, readable
from tests.services.gateway.conftest import READER, Keys, Opener, Service

CSV = "/api/v1/export/csv"


def final(answer: Response) -> bool:
    """Whether the scanner, reading it, gives up instead of trying again."""
    return "401" in answer.text or "403" in answer.text


@pytest.mark.parametrize(("trouble", "status"), [("away", 503), ("hangs up", 502), ("late", 504)])
async def test_a_service_in_trouble_is_worth_another_try(
    open_gateway: Opener, service: Service, trouble: str, status: int
) -> None:
    async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async def never(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    service.answer = never
    async with crooked(hang_up) as url:
        urls = {"away": "http://127.0.0.1:1", "hangs up": url, "late": service.url}
        limit = {"answer_seconds": 0.2} if trouble == "late" else {}
        async with open_gateway(ingest_url=urls[trouble], **limit) as gateway:
            answer = await gateway.post(BATCH, headers=SCANNER, json={"events": []})

    assert answer.status_code == status
    assert status != 503 or int(answer.headers["retry-after"]) >= 1
    assert set(answer.json()) == {"detail"}
    assert readable(answer)
    assert not final(answer)


async def test_an_error_of_the_service_arrives_as_it_is_and_can_be_read(
    gateway: AsyncClient, service: Service
) -> None:
    async def fail(_: web.BaseRequest) -> web.StreamResponse:
        headers = {"Access-Control-Allow-Origin": "*"}
        return web.json_response({"detail": "no"}, status=500, headers=headers)

    service.answer = fail
    answer = await gateway.post(BATCH, headers=SCANNER, json={"events": []})

    assert (answer.status_code, answer.json()) == (500, {"detail": "no"})
    assert readable(answer)


async def pieces(total: int) -> AsyncIterator[bytes]:
    for _ in range(total // 16_384):
        yield b"x" * 16_384


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_within_the_limit_arrives_whole(
    gateway: AsyncClient, service: Service, *, chunked: bool
) -> None:
    async def measure(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(len(await request.content.read()))

    service.answer = measure
    content = pieces(1_048_576) if chunked else b"x" * 1_048_576
    answer = await gateway.post(BATCH, headers=SCANNER, content=content)

    assert answer.json() == 1_048_576


async def test_too_many_questions_are_told_when_to_come_back(open_gateway: Opener) -> None:
    async with open_gateway(rate_limit_dashboard="5/hour") as gateway:
        answers = [await gateway.get(STATE, headers=SCANNER) for _ in range(6)]
        writing = await gateway.post(BATCH, headers=SCANNER, json={"events": []})
        other = await gateway.get(STATE, headers={"X-API-Key": READER})

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert int(answers[5].headers["retry-after"]) >= 1
    assert answers[5].headers["ratelimit-policy"] == '"dashboard";q=5;w=3600'
    assert answers[5].headers["ratelimit"].startswith('"dashboard";r=0;t=')
    assert readable(answers[5])
    assert not final(answers[5])
    assert (writing.status_code, other.status_code) == (200, 200)


@pytest.mark.parametrize(
    ("limit", "requests"),
    [
        # Ten people open a dashboard, five questions each, and keep filtering it for a minute.
        ("dashboard", 10 * (5 + 2 * 2 + 20)),
        # A hundred devices, 66 requests each; those back from an hour offline, 27 in 5 minutes;
        # and all of them trying thrice while the service is away.
        ("ingest", 100 * (66 + 27 // 5 + 1)),
        ("ingest", 100 * 3 * 66),
    ],
)
async def test_by_default_nobody_who_works_behind_one_address_is_slowed_down(
    limit: str, requests: int
) -> None:
    limits = Limits({Limit(limit): Settings.model_fields[f"rate_limit_{limit}"].default})

    answers = [
        await limits.hit(Limit(limit), key="shared", address="10.0.0.1") for _ in range(requests)
    ]

    assert set(answers) == {None}


async def test_by_default_a_day_of_polling_dashboards_is_let_through() -> None:
    by_key = allowances(Settings.model_fields["rate_limit_dashboard"].default)

    # Ten viewers on one key, each asking twice every half minute.
    assert all(one.item.amount / one.item.get_expiry() > 10 * 2 / 30 for one in by_key)


@pytest.mark.parametrize(
    ("limit", "method", "path"),
    [("removal", "POST", "/api/v1/events/remove"), ("export", "GET", CSV)],
)
async def test_removals_and_exports_are_limited_as_they_were_announced(
    open_gateway: Opener, limit: str, method: str, path: str
) -> None:
    async with open_gateway() as gateway:
        answers = [await gateway.request(method, path, headers=SCANNER) for _ in range(101)]
        writing = await gateway.post(BATCH, headers=SCANNER, json={"events": []})

    assert [answer.status_code for answer in answers] == [200] * 100 + [429]
    assert answers[-1].headers["ratelimit-policy"] == f'"{limit}";q=100;w=60'
    assert writing.status_code == 200


async def test_what_a_limit_refuses_goes_nowhere_and_may_be_sent_again(
    open_gateway: Opener, service: Service
) -> None:
    async with open_gateway(rate_limit_ingest="1/second") as gateway:
        sent: list[bytes] = []

        async def refused() -> Response | None:
            """Another body, which a busy machine may send so late that it is taken."""
            sent.append(b'{"events":[%d]}' % len(sent))
            answer = await gateway.post(BATCH, headers=SCANNER, content=sent[-1])
            return answer if answer.status_code != 200 else None

        limited = await eventually(refused, what="a refusal")
        assert service.bodies == sent[:-1]

        async def taken() -> bool:
            again = await gateway.post(BATCH, headers=SCANNER, content=sent[-1])
            return again.status_code == 200

        assert await eventually(taken, what="the body to be taken")

    assert service.bodies == sent
    assert limited is not None
    assert limited.status_code == 429
    assert limited.json() == {"detail": "Too many requests, try again later"}
    assert int(limited.headers["retry-after"]) >= 1
    assert readable(limited)
    assert not final(limited)


async def test_known_keys_open_while_the_database_is_away(open_gateway: Opener, keys: Keys) -> None:
    async with open_gateway(key_fresh_seconds=0) as gateway:
        await gateway.get(STATE, headers=SCANNER)
        keys.away = True
        known = await gateway.get(STATE, headers=SCANNER)
        unknown = await gateway.get(STATE, headers={"X-API-Key": READER})

    assert (known.status_code, unknown.status_code) == (200, 503)
    assert int(unknown.headers["retry-after"]) >= 1
    assert not final(unknown)
