"""The faults of barcodes and of rules for barcodes.

BadBarcode
├── NotDigits         other characters than the digits 0 to 9
├── WrongLength       too short or too long
├── WrongCheckDigit   at least one digit was misread
├── UnknownElement    not a GS1 element string, or without an identifier where one must be
├── BadElement        an element whose value does not fit its identifier
└── RepeatedElement   the same element twice, with different values
BadRule               the rule cannot make any barcode
DoesNotFit            a code or a measure has more digits than the rule allows

The class name is stable. No text contains what was scanned.
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
    """The barcode holds an element twice, with different values."""


class BadRule(ValueError):
    """The rule is invalid; the message says why."""


class DoesNotFit(ValueError):
    """The barcode has no room for this."""
