"""When a service that is away is asked again."""

from services.gateway.adapters.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(failures=3, seconds=5.0, now=clock)
    for _ in range(3):
        breaker.failed()
    return breaker


def test_it_opens_only_after_failures_in_a_row() -> None:
    breaker = Breaker(failures=3, seconds=5.0, now=Clock())

    breaker.failed()
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    breaker.failed()

    assert breaker.refuses_for() == 0.0


def test_while_open_it_says_how_long_to_stay_away() -> None:
    clock = Clock()
    breaker = opened(clock)

    clock.now += 2.0

    assert breaker.refuses_for() == 3.0


def test_after_its_time_it_lets_exactly_one_try() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 5.0

    assert breaker.refuses_for() == 0.0
    assert breaker.refuses_for() > 0.0


def test_a_good_trial_closes_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 5.0
    breaker.refuses_for()

    breaker.succeeded()

    assert [breaker.refuses_for() for _ in range(3)] == [0.0, 0.0, 0.0]


def test_a_bad_trial_opens_it_again() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 5.0
    breaker.refuses_for()

    breaker.failed()

    assert breaker.refuses_for() == 5.0


def test_a_trial_nobody_waited_for_leaves_room_for_another() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 5.0
    breaker.refuses_for()

    breaker.undecided()

    assert breaker.refuses_for() == 0.0
