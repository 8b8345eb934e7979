"""The rules by which an owner's labels are decoded, by prefix, for scales and tills (SCL-13).

The rules are stored as they are published in events (`contracts.scale_bridge`), so that every
subscriber decodes a label as this service does, with `libs.barcodes`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, TypeAlias

from contracts.scale_bridge import BarcodeRule, BarcodeRulesSet, ScaleBridgeEvent
from libs.barcodes import elements, gtin
from libs.barcodes.elements import Elements
from libs.barcodes.faults import BadRule
from libs.barcodes.measured import Measure, MeasuredItem, Rule, decode, overlapping
from libs.eventsourcing.decider import Decider

MOST_RULES: Final = 100
_EAN: Final = "]E"
"""The prefix that scanners may send before an EAN or UPC; a digit follows it."""

Rules: TypeAlias = tuple[BarcodeRule, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SetRules:
    """Replace the rules of an owner."""

    rules: Rules
    set_by: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Flaw:
    """A fault of the rule at an index of the list, and the field."""

    index: int
    field: str
    why: str


class BadRules(ValueError):
    """The rules are not valid; `flaws` has the reasons, and never a value."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        super().__init__("the rules cannot be kept")
        self.flaws = flaws


@dataclass(frozen=True, slots=True)
class Label:
    """A label of variable measure: the rule it matches, and the decoded code and measure."""

    rule: BarcodeRule
    weighed: MeasuredItem


@dataclass(frozen=True, slots=True)
class TradeItem:
    """The number of a trade item, in 14 digits."""

    gtin: str


Meaning: TypeAlias = Label | TradeItem | Elements


def decide(rules: Rules, command: SetRules) -> list[ScaleBridgeEvent]:
    """See `Decider`. Raises BadRules."""
    flaws = list(_flaws(command.rules))
    if flaws:
        raise BadRules(flaws)
    if rules == command.rules:
        return []
    return [BarcodeRulesSet(rules=command.rules, set_by=command.set_by, set_at=command.now)]


def evolve(rules: Rules, event: ScaleBridgeEvent) -> Rules:
    """See `Decider`."""
    match event:
        case BarcodeRulesSet(rules=new):
            return new
        case _:
            # Scales have streams of their own.
            return rules


BARCODES: Final[Decider[Rules, SetRules, ScaleBridgeEvent]] = Decider(
    category="barcode", initial=(), decide=decide, evolve=evolve
)
"""One stream per owner; its id is the owner's."""


def meaning(rules: Rules, scanned: str, *, today: date) -> Meaning:
    """The meaning of a scanned barcode. Raises BadBarcode."""
    code = scanned[len(_EAN) + 1 :] if scanned.startswith(_EAN) else scanned
    by_parsed = {_parsed(rule): rule for rule in rules}
    label = decode(by_parsed, code)
    if label is not None:
        return Label(by_parsed[label.rule], label)
    if gtin.is_digits(code) and len(code) in gtin.LENGTHS:
        return TradeItem(gtin.gtin14(code))
    return elements.read(code, today=today)


def _flaws(rules: Rules) -> Iterator[Flaw]:
    previous: list[Rule] = []
    names: set[str] = set()
    for index, rule in enumerate(rules):
        if rule.name in names:
            yield Flaw(index, "name", "another rule has this name")
        names.add(rule.name)
        try:
            parsed = _parsed(rule)
        except BadRule as bad:
            yield Flaw(index, "prefix", str(bad))
            continue
        if any(overlapping(parsed, other) for other in previous):
            yield Flaw(index, "prefix", "overlaps the prefix of another rule")
        previous.append(parsed)


def _parsed(rule: BarcodeRule) -> Rule:
    """The rule as `libs.barcodes` has it. Raises BadRule."""
    return Rule(
        prefix=rule.prefix,
        code_digits=rule.code_digits,
        measure=Measure(rule.measure),
        measure_digits=rule.measure_digits,
        price_check_digit=rule.price_check_digit,
    )
