"""Goods of a florist-grocer, as a real scale lists them (§3); the same number, the same goods."""

from datetime import date, timedelta
from typing import Any, Final

_NAMES: Final = (
    "Роза красная 60 см", "Тюльпан микс", "Хризантема кустовая", "Яблоки Гренни Смит",
    "Груши Конференция", "Сыр Российский 50%", "Колбаса Докторская", "Масло сливочное\n82,5%",
    "Хлеб Бородинский", "Орехи грецкие", "Курага", "Огурцы тепличные",
)  # fmt: skip
_DAYS: Final = (0, 3, 5, 7, 14, 30, 60, 184)
_MADE: Final = date(2026, 11, 2)


def catalogue(count: int) -> dict[str, Any]:
    """A catalogue of `count` products, with the auxiliary lists of a scale."""
    return {
        "categories": [{"idCategory": 1, "name": "Цветы"}, {"idCategory": 2, "name": "Продукты"}],
        "labelTemplates": [{"id": 1, "name": "58x40", "width": 58, "height": 40, "deleted": False}],
        "lotsOfProduct": [],
        "messages": [{"id": 1, "value": "Состав: мука, вода, соль", "deleted": False}],
        "productRates": [],
        "products": [product(number) for number in range(1, count + 1)],
    }


def product(number: int) -> dict[str, Any]:
    """One product, with the keys and their order of a real scale's dump."""
    days = _DAYS[number % len(_DAYS)]
    by_piece = number % 3 == 0
    return {
        "code": 49 + number,
        "deleted": False,
        "id": number,
        "manufactureDate": f"{_MADE:%d-%m-%y}",
        "name": f"{_NAMES[number % len(_NAMES)]} {number}",
        "pieceWeight": 0.0,
        "pluNumber": number,
        "price": float(16 + number * 7 % 1484) + (0.5 if number % 97 == 0 else 0.0),
        "productType": "PIECE" if by_piece else "WEIGHT",
        "sellByDate": f"{_MADE + timedelta(days=days):%d-%m-%y}",
        "shelfLife": days,
        "shelfLifeType": "DAYS",
        "tare": 0.0 if by_piece else 0.005,
        "shelfLifeInDays": days,
    }
