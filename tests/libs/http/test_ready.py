"""What a process says about itself: whether it lives, and whether it can do its work."""

import asyncio
from typing import Any

import pytest
from httpx import Response

from libs.http.app import create_app
from libs.http.health import CheckResult
from libs.testing.callers import client_of
from libs.testing.polling import PATIENCE_SECONDS


async def good() -> CheckResult:
    return CheckResult(True, "lag 3")


async def bad() -> CheckResult:
    return CheckResult(False, "lag 9000")


async def late() -> CheckResult:
    return CheckResult(False, "nothing sent for 40 s", critical=False)


async def raising() -> CheckResult:
    raise OSError("postgresql://till:hunter2@db")


async def silent() -> CheckResult:
    await asyncio.Event().wait()
    raise AssertionError


async def answer_of(path: str = "/ready", *, draining: bool = False, **checks: Any) -> Response:
    app = create_app(title="test", routers=[], deps=None, checks=checks)
    app.state.draining = draining
    async with client_of(app) as client:
        return await client.get(path)


async def test_a_process_is_healthy_without_its_dependencies() -> None:
    answer = await answer_of("/health", broker=bad)

    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


async def test_ready_means_that_every_check_is_good() -> None:
    answer = await answer_of(database=good)

    checks = [{"name": "database", "ok": True, "detail": "lag 3"}]
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "checks": checks})


async def test_not_ready_lists_the_failed_checks_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("libs.http.health.run_checks.__kwdefaults__", {"seconds": 0.5})
    answer = await answer_of(database=good, lag=bad, broker=raising, gateway=silent)

    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert [(one["name"], one["ok"], one["detail"]) for one in answer.json()["checks"]] == [
        ("database", True, "lag 3"),
        ("lag", False, "lag 9000"),
        ("broker", False, "OSError"),
        ("gateway", False, "no answer within 0.5 s"),
    ]


@pytest.mark.parametrize(
    ("path", "database", "status"),
    [
        ("/ready", good, 503),
        ("/ready?for=requests", good, 200),
        ("/ready?for=requests", bad, 503),
    ],
)
async def test_a_process_is_ready_for_requests_while_only_worker_checks_fail(
    path: str, database: Any, status: int
) -> None:
    answer = await answer_of(path, database=database, relay=late)

    assert answer.status_code == status
    expected = {"name": "relay", "ok": False, "detail": "nothing sent for 40 s"}
    assert answer.json()["checks"][1] == expected


async def test_a_draining_process_takes_no_requests() -> None:
    answer = await answer_of("/ready?for=requests", database=good, draining=True)

    assert (answer.status_code, answer.json()["status"]) == (503, "draining")


async def test_the_answer_does_not_wait_for_a_check_that_is_slow_to_give_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("libs.http.health.run_checks.__kwdefaults__", {"seconds": 0.1})
    gives_up = asyncio.Event()

    async def stubborn() -> CheckResult:
        try:
            return await silent()
        finally:
            await gives_up.wait()

    async with asyncio.timeout(PATIENCE_SECONDS / 3):
        answer = await answer_of(database=stubborn)

    assert answer.json()["checks"][0]["detail"] == "no answer within 0.1 s"
    gives_up.set()


async def test_checks_run_side_by_side() -> None:
    both = asyncio.Barrier(2)

    async def meet() -> CheckResult:
        await both.wait()
        return CheckResult(True)

    assert (await answer_of(one=meet, two=meet)).status_code == 200


async def test_a_draining_process_is_not_ready() -> None:
    answer = await answer_of(database=good, draining=True)

    assert (answer.status_code, answer.json()["status"]) == (503, "draining")
