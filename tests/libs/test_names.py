"""Which spellings are one name."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.names import comparable

BLANKS = " \t\n\r\x0b\x1c\x85\xa0\u1680\u2003\u2028\u202f\u3000"


@pytest.mark.parametrize(
    "spelling",
    [
        "Андрей Ким",
        unicodedata.normalize("NFD", "Андрей Ким"),
        "Андрей Ким ",
        "\tАндрей \xa0 Ким\r\n",
        "\u3000Андрей\u2003Ким",
    ],
)
def test_unicode_composition_and_blanks_do_not_make_another_name(spelling: str) -> None:
    assert comparable(spelling) == "Андрей Ким"


@pytest.mark.parametrize("other", ["андрей ким", "АндрейКим", "Андреи Ким", "Aндрей Ким"])
def test_letter_case_makes_another_name(other: str) -> None:
    assert comparable(other) != comparable("Андрей Ким")


@given(st.text(max_size=20), st.lists(st.text(BLANKS, max_size=3), min_size=21, max_size=21))
def test_the_normal_form_is_idempotent(name: str, blanks: list[str]) -> None:
    same = comparable(name)
    pieces = unicodedata.normalize("NFD", name).split()
    spelled = "".join(f"{blank} {piece}" for blank, piece in zip(blanks, pieces, strict=False))

    assert comparable(same) == same
    assert comparable(spelled + blanks[-1]) == same
