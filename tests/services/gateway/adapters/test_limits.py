"""How many requests are let through."""

from typing import Any

import pytest
from limits.aio.storage import MemoryStorage
from structlog.testing import capture_logs

from libs.errors import Unavailable
from services.gateway.adapters.limits import Limits, allowances
from services.gateway.domain.door import Limit

ANNA = {"key": "anna", "address": "10.0.0.1"}


async def test_one_request_too_many_is_told_when_to_come_back() -> None:
    limits = Limits({Limit.DASHBOARD: "3/hour"})

    answers = [await limits.hit(Limit.DASHBOARD, **ANNA) for _ in range(4)]

    assert answers[:3] == [None, None, None]
    assert answers[3] is not None
    assert (answers[3].name, answers[3].quota, answers[3].window_seconds) == ("dashboard", 3, 3600)
    assert 1 <= answers[3].retry_after <= 7200


async def test_everybody_is_counted_alone() -> None:
    limits = Limits({Limit.DASHBOARD: "1/hour"})

    assert await limits.hit(Limit.DASHBOARD, **ANNA) is None
    assert await limits.hit(Limit.DASHBOARD, key="anna", address="10.0.0.2") is None
    assert await limits.hit(Limit.DASHBOARD, key="boris", address="10.0.0.1") is None
    assert await limits.hit(Limit.DASHBOARD, **ANNA) is not None


async def test_a_key_is_also_counted_over_all_addresses() -> None:
    limits = Limits({Limit.DASHBOARD: "10/minute; 2/hour by key"})

    answers = [
        await limits.hit(Limit.DASHBOARD, key="anna", address=f"10.0.0.{n}") for n in range(3)
    ]

    assert answers[:2] == [None, None]
    assert answers[2] is not None
    assert answers[2].window_seconds == 3600
    assert await limits.hit(Limit.DASHBOARD, key="boris", address="10.0.0.1") is None


async def test_several_limits_count_together() -> None:
    limits = Limits({Limit.DASHBOARD: "100/second;2/hour"})

    answers = [await limits.hit(Limit.DASHBOARD, **ANNA) for _ in range(3)]

    assert answers[2] is not None
    assert answers[2].window_seconds == 3600


async def test_kinds_of_routes_are_counted_apart() -> None:
    limits = Limits({Limit.DASHBOARD: "1/hour", Limit.EXPORT: "1/hour"})

    assert await limits.hit(Limit.DASHBOARD, **ANNA) is None
    assert await limits.hit(Limit.EXPORT, **ANNA) is None
    assert await limits.hit(Limit.EXPORT, **ANNA) is not None


async def test_an_empty_limit_is_none() -> None:
    limits = Limits({Limit.INGEST: ""})

    assert {await limits.hit(Limit.INGEST, **ANNA) for _ in range(1000)} == {None}


async def test_a_storage_that_fails_later_lets_everybody_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = Limits({Limit.INGEST: "1/hour"})

    async def fail(*_: Any) -> Any:
        raise TimeoutError

    monkeypatch.setattr(MemoryStorage, "acquire_sliding_window_entry", fail)
    with capture_logs() as logs:
        answers = [await limits.hit(Limit.INGEST, **ANNA) for _ in range(3)]

    assert answers == [None, None, None]
    assert {entry["event"] for entry in logs} == {"rate limits not counted"}


def test_a_storage_that_cannot_be_used_is_said_at_the_start() -> None:
    with pytest.raises(Unavailable):
        Limits({}, storage="async+nowhere://host")


@pytest.mark.parametrize("text", ["often", "5", "5/blink", "by key", "5/minute by address"])
def test_a_text_that_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        allowances(text)


async def test_a_key_may_have_a_limit_of_its_own_wherever_it_is_used() -> None:
    limits = Limits({})

    anna = [await limits.hit_own(2, key="anna") for _ in range(3)]
    others = [await limits.hit_own(2, key="boris"), await limits.hit_own(None, key="anna")]

    assert anna[:2] == others == [None, None]
    assert anna[2] is not None
    assert (anna[2].name, anna[2].quota, anna[2].window_seconds) == ("own", 2, 60)
