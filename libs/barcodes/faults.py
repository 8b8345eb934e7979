"""What is wrong with a barcode, or with a rule to read some by.

BadBarcode
├── NotDigits         something else than the digits 0 to 9
├── WrongLength       too short or too long for what it shall be
├── WrongCheckDigit   one digit at least was misread
├── UnknownElement    no element string of GS1, or something else than an identifier in it
├── BadElement        an element whose value is not what its identifier says
└── RepeatedElement   the same element twice, with two values
BadRule               no barcode could be made by the rule
DoesNotFit            a code or a measure has more digits than the rule has room for

The class name is stable; no text repeats what was scanned.
"""


class BadBarcode(ValueError):
    """The barcode cannot be read."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or type(self).__doc__)


class NotDigits(BadBarcode):
    """The barcode must consist of digits."""


class WrongLength(BadBarcode):
    """The barcode does not have the right length."""


class WrongCheckDigit(BadBarcode):
    """The check digit is wrong."""


class UnknownElement(BadBarcode):
    """The barcode holds an element that is not known."""


class BadElement(BadBarcode):
    """The barcode holds an element with a wrong value."""


class RepeatedElement(BadBarcode):
    """The barcode says the same twice, and differently."""


class BadRule(ValueError):
    """The rule cannot be kept; the message says why."""


class DoesNotFit(ValueError):
    """The barcode has no room for this."""
