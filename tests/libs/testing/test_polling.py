"""Polling fails with the last value, and never while there is progress."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from libs.testing import polling
from libs.testing.polling import eventually, wait_until


async def blocking(condition: Callable[[], Any], *more: Any, **options: Any) -> Any:
    return wait_until(condition, *more, **options)


@pytest.fixture(params=[eventually, blocking])
def wait(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "PATIENCE_SECONDS", 0.05)


async def test_the_first_true_value_is_returned(wait: Any) -> None:
    assert await wait(iter([0, "", None, "there", "later"]).__next__) == "there"
    assert await wait(iter([1, 2, 3, 4]).__next__, 3) == 3
    assert await wait(iter([1, None]).__next__, None) is None


@pytest.mark.usefixtures("impatient")
async def test_a_timeout_reports_the_description_and_the_last_value(wait: Any) -> None:
    with pytest.raises(AssertionError, match=r"for the moon, expected 9; the last value is 7$"):
        await wait(lambda: 7, 9, what="the moon")
    with pytest.raises(AssertionError, match=r"the last value is \[\]$"):
        await wait(list)


@pytest.mark.usefixtures("impatient")
async def test_a_wait_goes_on_as_long_as_there_is_progress(wait: Any) -> None:
    tried = itertools.count()
    # Many times the patience: each try takes a pause of a tenth of it.
    assert await wait(lambda: next(tried) == 50, progress=itertools.count().__next__)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("progress", "last_resort"),
    [(lambda: itertools.chain(range(5), itertools.repeat(5)), 60), (itertools.count, 0.1)],
    ids=["it stops", "it never ends"],
)
async def test_progress_that_stops_or_never_ends_is_limited(
    wait: Any, progress: Any, last_resort: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "LAST_RESORT_SECONDS", last_resort)

    with pytest.raises(AssertionError, match=r"waited 0\.05 s .* the last value is False"):
        await wait(lambda: False, progress=progress().__next__)


async def test_an_assertion_error_is_retried_and_any_other_error_raised() -> None:
    tried = itertools.count()

    async def third() -> bool:
        assert next(tried) == 2, "not the third"
        return True

    assert await eventually(third)
    with pytest.raises(KeyError):
        await eventually({}.popitem)
