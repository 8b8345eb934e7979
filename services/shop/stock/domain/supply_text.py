"""Supplies as text, a flower a line: `<name> <height> <price> <quantity>` (spec shop §4.5).

A text is parsed whole: faulty lines are reported by their numbers, the others are goods.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from services.shop.stock.domain.receipt import Line

LOWEST_CM: Final = 10
HIGHEST_CM: Final = 200
MOST: Final = 1_000_000
"""The most stems of a line, and the highest price of one."""
LONGEST_NAME: Final = 200

_NUMBERS: Final = re.compile(r"([0-9]{1,9}) ([0-9]{1,9}(?:[.,][0-9]{1,4})?) ([0-9]{1,9})")


def parse(text: str) -> tuple[Sequence[Line], Sequence[str]]:
    """The lines of a text, and what is wrong with the others: `Строка <number from 1>: …`."""
    lines, errors = [], []
    for number, content in enumerate(text.splitlines(), 1):
        if content.strip():
            try:
                lines.append(_parsed(content.strip()))
            except ValueError as fault:
                errors.append(f"Строка {number}: {fault}")
    return lines, errors


def _parsed(content: str) -> Line:
    """Raises ValueError."""
    name, *numbers = content.rsplit(maxsplit=3)
    if not (found := _NUMBERS.fullmatch(" ".join(numbers))):
        shown = content if len(content) <= LONGEST_NAME else content[:LONGEST_NAME] + "…"
        expected = "ожидается «Название высота цена количество»"
        raise ValueError(f"неверный формат «{shown}», {expected}")
    height, price, quantity = int(found[1]), Decimal(found[2].replace(",", ".")), int(found[3])
    if not LOWEST_CM <= height <= HIGHEST_CM:
        raise ValueError(f"высота должна быть от {LOWEST_CM} до {HIGHEST_CM} см, указано {height}")
    if not 0 < price <= MOST:
        raise ValueError(f"цена должна быть больше 0 и не больше {MOST}, указано {price}")
    if not 0 < quantity <= MOST:
        raise ValueError(f"количество должно быть больше 0 и не больше {MOST}, указано {quantity}")
    if len(variety := " ".join(name.split())) > LONGEST_NAME:
        raise ValueError(f"название длиннее {LONGEST_NAME} знаков")
    return Line(variety=variety, height_cm=height, cost=price, quantity=quantity)
