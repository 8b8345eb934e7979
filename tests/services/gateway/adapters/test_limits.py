"""How many requests are let through."""

from services.gateway.adapters.limits import Limits
from services.gateway.domain.door import Limit


async def test_one_request_too_many_is_told_when_to_come_back() -> None:
    limits = Limits({Limit.DASHBOARD: "3/hour"})

    answers = [await limits.hit(Limit.DASHBOARD, "key", "10.0.0.1") for _ in range(4)]

    assert answers[:3] == [None, None, None]
    assert answers[3] is not None
    assert (answers[3].name, answers[3].quota, answers[3].window_seconds) == ("dashboard", 3, 3600)
    assert 1 <= answers[3].retry_after <= 7200


async def test_everybody_is_counted_alone() -> None:
    limits = Limits({Limit.DASHBOARD: "1/hour"})

    assert await limits.hit(Limit.DASHBOARD, "key", "10.0.0.1") is None
    assert await limits.hit(Limit.DASHBOARD, "key", "10.0.0.2") is None
    assert await limits.hit(Limit.DASHBOARD, "other", "10.0.0.1") is None
    assert await limits.hit(Limit.DASHBOARD, "key", "10.0.0.1") is not None


async def test_several_limits_count_together() -> None:
    limits = Limits({Limit.DASHBOARD: "100/second;2/hour"})

    answers = [await limits.hit(Limit.DASHBOARD, "key") for _ in range(3)]

    assert answers[2] is not None
    assert answers[2].window_seconds == 3600


async def test_an_empty_limit_is_none() -> None:
    limits = Limits({Limit.INGEST: ""})

    assert {await limits.hit(Limit.INGEST, "key") for _ in range(1000)} == {None}
