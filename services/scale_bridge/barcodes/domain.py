"""How an owner's labels are read: rules by prefix, one list of them for scales and tills.

SCL-13. The rules are kept as `contracts.scale_bridge` tells them, so that whoever follows the
events reads a label as it is read here: by `libs.barcodes`.
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
"""What scanners may put in front of an EAN or UPC, and a digit behind it."""

Rules: TypeAlias = tuple[BarcodeRule, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SetRules:
    """Read labels by these rules from now on, and by no others."""

    rules: Rules
    set_by: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with the rule at an index of the list, and in which field."""

    index: int
    field: str
    why: str


class BadRules(ValueError):
    """These rules cannot be kept; `flaws` says why, without repeating what was sent."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        super().__init__("the rules cannot be kept")
        self.flaws = flaws


@dataclass(frozen=True, slots=True)
class Label:
    """A label of variable measure: the rule it was read by, and what it says."""

    rule: BarcodeRule
    weighed: MeasuredItem


@dataclass(frozen=True, slots=True)
class TradeItem:
    """A trade item's number, in 14 digits."""

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
            # What happens to scales has streams of its own.
            return rules


BARCODES: Final[Decider[Rules, SetRules, ScaleBridgeEvent]] = Decider(
    category="barcode", initial=(), decide=decide, evolve=evolve
)
"""One stream per owner, whose id is its."""


def meaning(rules: Rules, scanned: str, *, today: date) -> Meaning:
    """What a scanned barcode says. Raises BadBarcode."""
    code = scanned[len(_EAN) + 1 :] if scanned.startswith(_EAN) else scanned
    known = {_rule(rule): rule for rule in rules}
    label = decode(known, code)
    if label is not None:
        return Label(known[label.rule], label)
    if gtin.is_digits(code) and len(code) in gtin.LENGTHS:
        return TradeItem(gtin.gtin14(code))
    return elements.read(code, today=today)


def _flaws(rules: Rules) -> Iterator[Flaw]:
    read: list[Rule] = []
    names: set[str] = set()
    for index, rule in enumerate(rules):
        if rule.name in names:
            yield Flaw(index, "name", "another rule has this name")
        names.add(rule.name)
        try:
            mine = _rule(rule)
        except BadRule as bad:
            yield Flaw(index, "prefix", str(bad))
            continue
        if any(overlapping(mine, other) for other in read):
            yield Flaw(index, "prefix", "overlaps the prefix of another rule")
        read.append(mine)


def _rule(rule: BarcodeRule) -> Rule:
    """Raises BadRule."""
    return Rule(
        prefix=rule.prefix,
        code_digits=rule.code_digits,
        measure=Measure(rule.measure),
        measure_digits=rule.measure_digits,
        price_check_digit=rule.price_check_digit,
    )
