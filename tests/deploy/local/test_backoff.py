"""A program that dies again and again is started less and less often."""

import pytest

from deploy.local.backoff import HEALTHY_SECONDS, Backoff


@pytest.mark.parametrize(
    ("deaths", "seconds"),
    [(0, 0.0), (1, 0.2), (2, 0.4), (3, 0.8), (4, 1.6), (5, 3.2), (6, 6.4), (7, 10.0), (5000, 10.0)],
)
def test_the_wait_doubles_up_to_ten_seconds(deaths: int, seconds: float) -> None:
    assert Backoff(deaths=deaths).delay_seconds == pytest.approx(seconds)


def test_a_short_run_counts_as_one_death_more() -> None:
    assert Backoff(deaths=3).after_death(ran_seconds=HEALTHY_SECONDS - 1) == Backoff(deaths=4)


def test_a_healthy_run_forgets_the_earlier_deaths() -> None:
    assert Backoff(deaths=3).after_death(ran_seconds=HEALTHY_SECONDS) == Backoff(deaths=1)
