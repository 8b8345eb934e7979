"""GS1 application identifiers: the format of the value of each, and where it ends.

They come from the standard's own file beside this one: the GS1 Barcode Syntax Dictionary, under the
Apache licence, unchanged. A newer release replaces the file. Only its checks for misread digits are
applied; others (countries, IBANs) are left to the code that uses the value.
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
    r"(?P<optional>\[?)(?P<kind>[NXYZ])(?P<up_to>\.\.)?(?P<most>\d+)\]?(?:,(?P<checks>\S+))?"
)
_RESERVED: Final = {"04": 16, "14": 6, "18": 6, "19": 6}
"""Lengths of values of reserved identifiers (General Specifications, 7.8)."""
_LONGEST: Final = 90
_SHORTEST_IDENTIFIER: Final = 2


@dataclass(frozen=True, slots=True)
class Identifier:
    """An application identifier.

    `pattern` has a group for each part of the value, `checks` the names of the checks of each part.
    With a predefined `length` the value needs no separator. The value of an identifier that is not
    `assigned` is any text.
    """

    digits: str
    pattern: re.Pattern[str]
    checks: tuple[frozenset[str], ...]
    length: int | None
    assigned: bool = True


def identifier_at(text: str) -> Identifier | None:
    """The identifier at the beginning of the text, or None.

    Its first two digits determine its length. If they are not in use yet, the identifier counts as
    two digits long.
    """
    family = text[:_SHORTEST_IDENTIFIER]
    digits = text[: _FAMILIES.get(family, _SHORTEST_IDENTIFIER)]
    if not is_digits(digits) or len(digits) < _FAMILIES.get(family, _SHORTEST_IDENTIFIER):
        return None
    return IDENTIFIERS.get(digits) or _unassigned(digits)


def _unassigned(digits: str) -> Identifier:
    length = _PREDEFINED.get(digits[:_SHORTEST_IDENTIFIER])
    times = f"{{1,{_LONGEST}}}" if length is None else f"{{{length}}}"
    pattern = re.compile(f"([{_CHARACTERS['X']}]{times})")
    return Identifier(digits, pattern, (frozenset(),), length, assigned=False)


def _read(dictionary: str) -> Iterator[Identifier]:
    """Parse the dictionary: identifiers, flags, components, attributes, `#` and a title."""
    for line in dictionary.splitlines():
        entry = line.partition("#")[0].split()
        if not entry:
            continue
        predefined = "*" in entry[1]
        parts = [part for part in map(_COMPONENT.fullmatch, entry[1:]) if part]
        pattern = re.compile("".join(map(_group, parts)))
        checks = tuple(frozenset((part["checks"] or "").split(",")) for part in parts)
        length = sum(int(part["most"]) for part in parts) if predefined else None
        for digits in _range(entry[0]):
            yield Identifier(digits, pattern, checks, length)


def _range(digits: str) -> Iterator[str]:
    first, _, last = digits.partition("-")
    for number in range(int(first), int(last or first) + 1):
        yield str(number).zfill(len(first))


def _group(part: re.Match[str]) -> str:
    times = f"{{1,{part['most']}}}" if part["up_to"] else f"{{{part['most']}}}"
    return f"([{_CHARACTERS[part['kind']]}]{times})" + ("?" if part["optional"] else "")


IDENTIFIERS: Final[Mapping[str, Identifier]] = {
    one.digits: one for one in _read((files(__package__) / DICTIONARY).read_text(encoding="utf-8"))
}
_FAMILIES: Final = {digits[:_SHORTEST_IDENTIFIER]: len(digits) for digits in IDENTIFIERS}
_PREDEFINED: Final = _RESERVED | {
    digits[:_SHORTEST_IDENTIFIER]: one.length
    for digits, one in IDENTIFIERS.items()
    if one.length is not None
}
