"""The rules of labels: replaced as a whole, without overlaps (SCL-13)."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from contracts.scale_bridge import BarcodeRule, BarcodeRulesSet
from libs.eventsourcing.testing import Scenario
from services.scale_bridge.barcodes.domain import BARCODES, BadRules, SetRules, TradeItem, meaning
from tests.services.scale_bridge.usual import Usual

TODAY = date(2026, 3, 1)
made = Usual(datetime(2026, 3, 1, 9, tzinfo=UTC), measure="weight_g", measure_digits=5)


def a_rule(prefix: str = "20", **different: Any) -> BarcodeRule:
    usual = {"name": f"rule {prefix}", "prefix": prefix, "code_digits": 7 - len(prefix)}
    return made(BarcodeRule, **(usual | different))


def setting(*rules: BarcodeRule) -> SetRules:
    return made(SetRules, rules=rules)


def were_set(*rules: BarcodeRule) -> BarcodeRulesSet:
    return made(BarcodeRulesSet, rules=rules)


def test_rules_are_set_as_a_whole_and_once() -> None:
    one, other = a_rule("20"), a_rule("211")
    given = Scenario(BARCODES).given(were_set(one))

    Scenario(BARCODES).when(setting(one, other)).then(were_set(one, other))
    given.when(setting(other)).then(were_set(other))
    given.when(setting(one)).then_nothing()
    given.when(setting()).then(were_set())
    assert BARCODES.state_after([were_set(one), were_set(other)]) == (other,)


@pytest.mark.parametrize(
    ("rules", "flaws"),
    [
        ([a_rule("20"), a_rule("201")], [(1, "prefix")]),
        ([a_rule("201"), a_rule("20"), a_rule("20", name="x")], [(1, "prefix"), (2, "prefix")]),
        ([a_rule("20"), a_rule("21", name="rule 20")], [(1, "name")]),
        ([a_rule("19"), a_rule("20", measure_digits=4)], [(0, "prefix"), (1, "prefix")]),
        ([a_rule("20", price_check_digit=True)], [(0, "prefix")]),
    ],
)
def test_overlapping_or_impossible_rules_are_refused(
    rules: list[BarcodeRule], flaws: list[tuple[int, str]]
) -> None:
    with pytest.raises(BadRules) as refused:
        BARCODES.decide((), setting(*rules))

    assert [(flaw.index, flaw.field) for flaw in refused.value.flaws] == flaws


def test_other_codes_are_trade_items_or_element_strings() -> None:
    rules = (a_rule("21"),)

    assert meaning(rules, "5901234123457", today=TODAY) == TradeItem("05901234123457")
    assert meaning(rules, "]E05901234123457", today=TODAY) == TradeItem("05901234123457")
    assert meaning(rules, "]C13102000150", today=TODAY) == {"3102": Decimal("1.50")}
