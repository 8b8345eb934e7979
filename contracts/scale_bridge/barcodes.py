"""Events about the rules by which barcodes of variable measure are read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

BARCODES: Final = "scale-bridge.barcode"


@dataclass(frozen=True, kw_only=True, slots=True)
class BarcodeRule:
    """How labels with `prefix` are read: digits of an article code, then a measure.

    EAN-13: prefix, `code_digits`, a check digit of the measure if `price_check_digit`,
    `measure_digits`, and the check digit of all. `measure` is `weight_g`, `price_minor` or `count`.
    """

    name: str
    prefix: str
    code_digits: int
    measure: str
    measure_digits: int
    price_check_digit: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class BarcodeRulesSet:
    """The rules for an owner's labels of variable measure were set, replacing earlier ones.

    They are those of `set_by` only; in older streams, named after the tenant, those of the whole
    tenant. No prefix starts with another.
    """

    rules: tuple[BarcodeRule, ...]
    set_by: str
    set_at: datetime
