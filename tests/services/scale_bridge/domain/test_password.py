"""A scale's password."""

import pytest

from services.scale_bridge.domain.password import BadPassword, checked


def test_four_ascii_characters_are_a_password() -> None:
    """(R12)"""
    assert checked("1234") == "1234"
    assert checked("a b~") == "a b~"


@pytest.mark.parametrize("password", ["", "123", "12345", "пять", "123é", "１２３４"])
def test_anything_else_is_refused_and_not_repeated(password: str) -> None:
    """(R12)"""
    with pytest.raises(BadPassword) as caught:
        checked(password)

    assert not password or password not in str(caught.value)
