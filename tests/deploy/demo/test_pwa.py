"""The app's grammar, rule by rule."""

import pytest

from deploy.demo.pwa import Handheld, Said, auto_close_at, auto_closed, scanned

IDLE = Handheld()
IN_TOWN = Handheld(city="Tula")
AT_BOX = Handheld(city="Tula", box="ivancov/8", opened_at=90.0)


@pytest.mark.parametrize(
    ("handheld", "text", "type", "code"),
    [
        (IDLE, "CITY:Tula", "CITY", "Tula"),
        (IDLE, "CITY:CLOSE", "ERROR", "NO_CITY"),
        (IDLE, "BOX:ivancov/8", "ERROR", "NO_CITY"),
        (IDLE, "4601", "ERROR", "NO_BOX"),
        (IN_TOWN, "city:Tula", "CITY", "Tula"),
        (IN_TOWN, "CITY:Omsk", "ERROR", "CITY_NOT_CLOSED"),
        (IN_TOWN, "CITY:CLOSE", "CITY_CLOSE", "Tula"),
        (IN_TOWN, "box:ivancov/8", "BOX", "ivancov/8"),
        (AT_BOX, " 4601 ", "ITEM", "4601"),
        (AT_BOX, "Ящик", "ERROR", "CYRILLIC_ERROR"),
        (AT_BOX, "BOX:ivancov/9", "ERROR", "BOX_NOT_CLOSED"),
        (AT_BOX, "CITY:CLOSE", "ERROR", "BOX_NOT_CLOSED"),
        (AT_BOX, "BOX:ivancov/8", "CLOSE", "ivancov/8"),
    ],
)
def test_a_scan_means_what_the_app_makes_of_it(
    handheld: Handheld, text: str, type: str, code: str
) -> None:
    after, said = scanned(handheld, text, at=100.0)

    assert (said.type, said.code) == (type, code)
    if type in {"ERROR", "ITEM"}:
        assert after == handheld


def test_only_a_cyrillic_error_tells_what_was_scanned() -> None:
    assert scanned(AT_BOX, "Ёлка", at=0)[1].details == "Ёлка"
    assert scanned(IDLE, "4601", at=0)[1].details == ""


def test_a_client_is_what_stands_before_the_first_slash() -> None:
    assert scanned(IN_TOWN, "BOX:a/b/7", at=0)[1].client == "a"
    assert scanned(IN_TOWN, "BOX:a", at=0)[1].client == "a"


def test_a_box_closes_by_itself_at_the_first_minute_after_its_hour() -> None:
    assert auto_close_at(IN_TOWN) is None
    assert auto_close_at(AT_BOX) == 3720.0

    after, said = auto_closed(AT_BOX)

    assert after.box == ""
    assert said == Said(type="AUTO_CLOSE", code="ivancov/8", city="Tula", box="ivancov/8")


def test_closing_a_city_leaves_nothing_open() -> None:
    assert scanned(IN_TOWN, "CITY:CLOSE", at=0)[0] == IDLE
