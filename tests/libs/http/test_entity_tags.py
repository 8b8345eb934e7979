"""Conditions of requests, as RFC 9110 §13 wants them read."""

import pytest

from libs.http.entity_tags import is_known, is_wanted, strong_tag

SEVEN = strong_tag(7)


def test_a_tag_stands_in_quotes() -> None:
    assert SEVEN == '"7"'


@pytest.mark.parametrize(
    "lines", [[], ['"7"'], ["*"], [" * "], ['"6", "7"'], ['"6"', '"7"'], ['"a,b" , "7"'], ['"7",']]
)
def test_what_names_the_current_state_lets_it_be_changed(lines: list[str]) -> None:
    assert is_wanted(lines, SEVEN)


@pytest.mark.parametrize(
    "lines", [['"6"'], ['W/"7"'], ["7"], [""], ['"7'], ['"*"'], ['"x7"', 'W/"7"'], ["garbage"]]
)
def test_anything_else_does_not(lines: list[str]) -> None:
    assert not is_wanted(lines, SEVEN)


def test_a_thing_that_is_not_there_is_changed_by_who_says_nothing_about_it_only() -> None:
    assert is_wanted([], None)
    assert not is_wanted(["*"], None)
    assert not is_wanted(['"7"'], None)


@pytest.mark.parametrize("lines", [['"7"'], ['W/"7"'], ["*"], ['"6", W/"7"'], ['"6"', '"7"']])
def test_a_client_that_has_the_state_need_not_get_it_again(lines: list[str]) -> None:
    assert is_known(lines, SEVEN)


@pytest.mark.parametrize("lines", [[], ['"6"'], ["7"], [""], ["garbage"]])
def test_all_others_get_it(lines: list[str]) -> None:
    assert not is_known(lines, SEVEN)
