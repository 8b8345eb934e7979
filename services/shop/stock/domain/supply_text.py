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

_INTEGER: Final = re.compile(r"[0-9]{1,9}")
_PRICE: Final = re.compile(r"[0-9]{1,9}(?:[.,][0-9]{1,4})?")
_FIELDS: Final = 4


class _Fault(Exception):
    """Why a line is no flower."""


def parse(text: str) -> tuple[Sequence[Line], Sequence[str]]:
    """The lines of a text, and what is wrong with the others: `Строка <number from 1>: …`."""
    lines, errors = [], []
    for number, content in enumerate(text.splitlines(), 1):
        if content.strip():
            try:
                lines.append(_parsed(content.strip()))
            except _Fault as fault:
                errors.append(f"Строка {number}: {fault}")
    return lines, errors


def _parsed(content: str) -> Line:
    """Raises _Fault."""
    fields = content.rsplit(maxsplit=_FIELDS - 1)
    if len(fields) < _FIELDS or not _is_line(fields):
        shown = content if len(content) <= LONGEST_NAME else content[:LONGEST_NAME] + "…"
        expected = "ожидается «Название высота цена количество»"
        raise _Fault(f"неверный формат «{shown}», {expected}")
    name, height, price, quantity = fields
    line = Line(
        variety=" ".join(name.split()),
        height_cm=int(height),
        cost=Decimal(price.replace(",", ".")),
        quantity=int(quantity),
    )
    if not LOWEST_CM <= line.height_cm <= HIGHEST_CM:
        raise _Fault(f"высота должна быть от {LOWEST_CM} до {HIGHEST_CM} см, указано {height}")
    if not 0 < line.cost <= MOST:
        raise _Fault(f"цена должна быть больше 0 и не больше {MOST}, указано {price}")
    if not 0 < line.quantity <= MOST:
        raise _Fault(f"количество должно быть больше 0 и не больше {MOST}, указано {quantity}")
    if len(line.variety) > LONGEST_NAME:
        raise _Fault(f"название длиннее {LONGEST_NAME} знаков")
    return line


def _is_line(fields: Sequence[str]) -> bool:
    patterns = (_INTEGER, _PRICE, _INTEGER)
    values = zip(patterns, fields[1:], strict=True)
    return all(pattern.fullmatch(value) for pattern, value in values)
