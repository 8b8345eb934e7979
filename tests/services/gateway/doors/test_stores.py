"""How many requests are let through."""

from typing import Any

import pytest
from limits.aio.storage import MemoryStorage
from structlog.testing import capture_logs

from libs.errors import RateLimit, Unavailable
from services.gateway.doors.domain.door import Limit
from services.gateway.doors.stores import Limits

HOUR = 3600


@pytest.mark.parametrize(
    ("limit", "requests", "over", "window"),
    [
        pytest.param("3/hour", "anna@1 anna@1 anna@1", "anna@1", HOUR, id="one too many"),
        pytest.param("1/hour", "anna@1 anna@2 boris@1", "anna@1", HOUR, id="each alone"),
        pytest.param(
            "10/minute; 2/hour by key", "anna@1 anna@2 boris@1", "anna@3", HOUR, id="by key"
        ),
        pytest.param("100/second;2/hour", "anna@1 anna@1", "anna@1", HOUR, id="several together"),
    ],
)
async def test_one_request_too_many_is_refused_with_when_to_come_back(
    limit: str, requests: str, over: str, window: int
) -> None:
    limits = Limits({Limit.DASHBOARD: limit})

    async def hit(request: str) -> Any:
        key, _, address = request.partition("@")
        return await limits.hit(Limit.DASHBOARD, key=key, address=f"10.0.0.{address}")

    assert {await hit(one) for one in requests.split()} == {None}
    refused = await hit(over)
    assert refused is not None
    assert (refused.limit.name, refused.limit.window_seconds) == ("dashboard", window)
    assert f"{refused.limit.quota}/hour" in limit
    assert 1 <= refused.retry_after <= 2 * window


async def test_kinds_of_routes_are_counted_apart_and_an_empty_limit_is_none() -> None:
    limits = Limits({Limit.DASHBOARD: "1/hour", Limit.EXPORT: "1/hour", Limit.INGEST: ""})
    anna = {"key": "anna", "address": "10.0.0.1"}

    assert await limits.hit(Limit.DASHBOARD, **anna) is None
    assert await limits.hit(Limit.EXPORT, **anna) is None
    assert await limits.hit(Limit.EXPORT, **anna) is not None
    assert {await limits.hit(Limit.INGEST, **anna) for _ in range(1000)} == {None}


async def test_a_failing_storage_of_limits_limits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits({Limit.INGEST: "1/hour"})

    async def fail(*_: Any) -> Any:
        raise TimeoutError

    monkeypatch.setattr(MemoryStorage, "acquire_sliding_window_entry", fail)
    with capture_logs() as logs:
        answers = [await limits.hit(Limit.INGEST, key="a", address="10.0.0.1") for _ in range(3)]

    assert answers == [None, None, None]
    assert {entry["event"] for entry in logs} == {"rate limits not counted"}


def test_a_storage_that_cannot_be_used_is_refused_at_the_start() -> None:
    with pytest.raises(Unavailable):
        Limits({}, storage="async+nowhere://host")


async def test_a_key_may_have_a_limit_of_its_own_wherever_it_is_used() -> None:
    limits = Limits({})

    anna = [await limits.hit_own(2, key="anna") for _ in range(3)]
    others = [await limits.hit_own(2, key="boris"), await limits.hit_own(None, key="anna")]

    assert anna[:2] == others == [None, None]
    assert anna[2] is not None
    assert anna[2].limit == RateLimit(name="own", quota=2, window_seconds=60)
