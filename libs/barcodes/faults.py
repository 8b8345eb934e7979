"""Errors of barcodes and of rules for barcodes.

BadBarcode
├── NotDigits         a character other than the digits 0 to 9
├── WrongLength       too short or too long
├── WrongCheckDigit   at least one digit was misread
├── UnknownElement    not an element string of GS1, or an invalid identifier in it
├── BadElement        a value that does not match its identifier
└── RepeatedElement   the same element twice, with different values
BadRule               no barcode can follow the rule
DoesNotFit            a code or a measure has too many digits for the rule

The class names are stable; no message repeats the scanned text.
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
