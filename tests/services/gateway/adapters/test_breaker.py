"""When a service that is away is tried again."""

import pytest

from libs.testing.clock import Seconds
from services.gateway.adapters.breaker import Breaker

OPEN = "fail fail fail"


@pytest.mark.parametrize(
    ("events", "refuses_for"),
    [
        pytest.param("fail fail succeed fail fail", [0.0], id="only failures in a row open it"),
        pytest.param(f"{OPEN} 2", [3.0], id="while open it says for how long"),
        pytest.param(f"{OPEN} 5", [0.0, 5.0], id="after its time exactly one may try"),
        pytest.param(f"{OPEN} 5 ask succeed", [0.0] * 3, id="a good trial closes it"),
        pytest.param(f"{OPEN} 5 ask fail", [5.0], id="a bad trial opens it again"),
        pytest.param(f"{OPEN} 5 ask give-up", [0.0], id="a trial given up leaves room for another"),
    ],
)
def test_a_breaker_lets_through_or_says_how_long_to_stay_away(
    events: str, refuses_for: list[float]
) -> None:
    seconds = Seconds()
    breaker = Breaker(failures=3, seconds=5.0, now=seconds)
    for event in events.split():
        match event:
            case "fail":
                breaker.failed()
            case "succeed":
                breaker.succeeded()
            case "give-up":
                breaker.undecided()
            case "ask":
                breaker.refuses_for()
            case _:
                seconds.advance(float(event))

    assert [breaker.refuses_for() for _ in refuses_for] == refuses_for
