"""GS1 application identifiers, and the form and length of the value after each.

They are read from the standard's own file beside this one: the GS1 Barcode Syntax Dictionary, under
the Apache licence, unchanged. A newer release replaces the file. Only those of its checks are used
that detect a misread digit; others (countries, IBANs) are left to the code that uses the value.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from libs.barcodes.gtin import is_digits

DICTIONARY: Final = "gs1-syntax-dictionary.txt"
_NUMERIC: Final = "0-9"
_CHARACTERS: Final = {
    "N": _NUMERIC,
    "X": r"""!"%&'()*+,\-./0-9:;<=>?A-Z_a-z""",
    "Y": r"#\-/0-9A-Z",
    "Z": r"\-0-9=A-Z_a-z",
}
_COMPONENT: Final = re.compile(
    r"(?P<optional>\[?)(?P<kind>[NXYZ])(?P<up_to>\.\.)?(?P<max>\d+)\]?(?:,(?P<checks>\S+))?"
)
_RESERVED: Final = {"04": 16, "14": 6, "18": 6, "19": 6}
"""The lengths of values after reserved, unassigned identifiers (General Specifications, 7.8)."""
_MAX_LENGTH: Final = 90
_FAMILY_DIGITS: Final = 2


@dataclass(frozen=True, slots=True)
class Identifier:
    """An application identifier.

    `pattern` has a group for each part of the value, `checks` the names of the checks of each part.
    With a predefined `length` no separator is needed after the value. One that is not `assigned`
    may have any text as its value.
    """

    digits: str
    pattern: re.Pattern[str]
    checks: tuple[frozenset[str], ...]
    length: int | None
    assigned: bool = True


def identifier_at(text: str) -> Identifier | None:
    """The identifier at the start of the text, None if there is none.

    The first two digits determine the length of an identifier; it is two if they are unassigned.
    """
    family = text[:_FAMILY_DIGITS]
    digits = text[: _FAMILIES.get(family, _FAMILY_DIGITS)]
    if not is_digits(digits) or len(digits) < _FAMILIES.get(family, _FAMILY_DIGITS):
        return None
    return IDENTIFIERS.get(digits) or _unassigned(digits)


def _unassigned(digits: str) -> Identifier:
    length = _PREDEFINED.get(digits[:_FAMILY_DIGITS])
    times = f"{{1,{_MAX_LENGTH}}}" if length is None else f"{{{length}}}"
    pattern = re.compile(f"([{_CHARACTERS['X']}]{times})")
    return Identifier(digits, pattern, (frozenset(),), length, assigned=False)


def _read(dictionary: str) -> Iterator[Identifier]:
    """Parse lines of identifiers, flags, components, attributes, `#` and a title; see the file."""
    for line in dictionary.splitlines():
        entry = line.partition("#")[0].split()
        if not entry:
            continue
        predefined = "*" in entry[1]
        parts = [part for part in map(_COMPONENT.fullmatch, entry[1:]) if part]
        pattern = re.compile("".join(map(_group, parts)))
        checks = tuple(frozenset((part["checks"] or "").split(",")) for part in parts)
        length = sum(int(part["max"]) for part in parts) if predefined else None
        for digits in _range(entry[0]):
            yield Identifier(digits, pattern, checks, length)


def _range(digits: str) -> Iterator[str]:
    first, _, last = digits.partition("-")
    for number in range(int(first), int(last or first) + 1):
        yield str(number).zfill(len(first))


def _group(part: re.Match[str]) -> str:
    times = f"{{1,{part['max']}}}" if part["up_to"] else f"{{{part['max']}}}"
    return f"([{_CHARACTERS[part['kind']]}]{times})" + ("?" if part["optional"] else "")


IDENTIFIERS: Final[Mapping[str, Identifier]] = {
    one.digits: one for one in _read((files(__package__) / DICTIONARY).read_text(encoding="utf-8"))
}
_FAMILIES: Final = {digits[:_FAMILY_DIGITS]: len(digits) for digits in IDENTIFIERS}
_PREDEFINED: Final = _RESERVED | {
    digits[:_FAMILY_DIGITS]: one.length
    for digits, one in IDENTIFIERS.items()
    if one.length is not None
}
