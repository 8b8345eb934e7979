"""The dates on a label, by the shop's own calendar."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.scale_bridge.domain.dates import is_date, refreshed, sell_by, written

MOSCOW = ZoneInfo("Europe/Moscow")
BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=MOSCOW)

LIVES: list[tuple[dict[str, Any], str | None]] = [
    *(({"shelfLife": life}, "01-12-26") for life in (10, 10.0, "10")),
    *(({"shelfLife": 0}, "21-11-26"), ({"shelfLife": 9999}, "07-04-54")),
    ({"shelfLife": 10, "shelfLifeType": "DAYS", "shelfLifeInDays": 3}, "01-12-26"),
    ({"shelfLife": 10, "shelfLifeType": None}, "01-12-26"),
    ({"shelfLife": 11, "shelfLifeType": "HOURS"}, "21-11-26"),
    ({"shelfLife": 12, "shelfLifeType": "HOURS"}, "22-11-26"),
    ({"shelfLifeInDays": 2}, "23-11-26"),
    *(({"shelfLife": life, "shelfLifeInDays": 2}, "23-11-26") for life in (None, "x")),
    ({"shelfLifeType": "HOURS", "shelfLifeInDays": 2}, "23-11-26"),
    ({"shelfLife": 5, "shelfLifeType": "MONTHS", "shelfLifeInDays": 2}, "23-11-26"),
    *(({"shelfLife": life}, None) for life in (None, "soon", True, -1, 10**30, float("nan"), [1])),
    ({}, None),
]


@pytest.mark.parametrize(("product", "end"), LIVES, ids=[str(life) for life, _ in LIVES])
def test_a_product_is_sold_until_the_end_of_its_shelf_life(
    product: dict[str, Any], end: str | None
) -> None:
    """(R13)"""
    found = sell_by(product, NOON)

    assert (written(found) if found else None) == end


def test_only_the_two_dates_change_and_the_run_goes_on_past_what_cannot_be_told() -> None:
    """(R13)"""
    lots = [{"id": 1, "manufactureDate": "01-01-20"}]
    bad = {"pluNumber": 2, "shelfLife": "soon", "sellByDate": "01-01-20"}
    document = {
        "lotsOfProduct": lots,
        "products": [{"pluNumber": 1, "shelfLife": 1, "x": [1]}, bad, {"shelfLifeInDays": 0}],
    }

    found = refreshed(document, NOON)

    today = {"manufactureDate": "21-11-26", "sellByDate": "21-11-26"}
    assert found.document == {
        "lotsOfProduct": lots,
        "products": [
            {"pluNumber": 1, "shelfLife": 1, "x": [1], **today, "sellByDate": "22-11-26"},
            bad,
            {"shelfLifeInDays": 0, **today},
        ],
    }
    assert (found.changed, found.left_alone) == (2, 1)
    again = refreshed(found.document, NOON)
    assert (again.document, again.changed) == (found.document, 0)


def test_today_is_the_shops_day_and_not_the_servers() -> None:
    """(R13)"""
    late = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)

    shop = refreshed({"products": [{"shelfLife": 0}]}, late.astimezone(MOSCOW))
    server = refreshed({"products": [{"shelfLife": 0}]}, late)

    assert shop.document["products"][0]["sellByDate"] == "21-11-26"
    assert server.document["products"][0]["sellByDate"] == "20-11-26"


def test_an_hour_is_an_hour_in_the_night_the_clocks_change() -> None:
    """(R13)"""
    before = datetime(2026, 10, 25, 0, 30, tzinfo=BERLIN)

    assert sell_by({"shelfLife": 24, "shelfLifeType": "HOURS"}, before) == date(2026, 10, 25)
    assert sell_by({"shelfLife": 25, "shelfLifeType": "HOURS"}, before) == date(2026, 10, 26)


@pytest.mark.parametrize(
    ("text", "real"),
    [("29-02-28", True), ("29-02-27", False), ("31-12-99", True), ("1-1-26", False), ("", False)],
)
def test_a_date_is_a_real_day_with_two_digits_each(text: str, real: bool) -> None:
    """(R11)"""
    assert is_date(text) is real
