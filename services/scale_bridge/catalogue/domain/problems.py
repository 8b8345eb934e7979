"""Problems of a catalogue that can be detected without the scale (SCL-7): product, field, rule."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from libs.errors import Unfit
from services.scale_bridge.catalogue.domain.difference import MESSAGES
from services.scale_bridge.catalogue.domain.model import Limits, beyond, beyond_number, beyond_text
from services.scale_bridge.catalogue.domain.product import fault_in
from services.scale_bridge.driver.domain.document import (
    Product,
    by_key,
    is_deleted,
    key_of,
    plu_of,
    products,
    text_of,
)

_LIMITED: Final = ("name", "price", "discountPrice", "pluNumber")


class RuleKind(StrEnum):
    """Which rule is broken: what R11 says of a field, one PLU per product, a limit of the model."""

    FIELD = "field"
    UNIQUE = "unique"
    MODEL = "model"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One problem. `plu` is the key of the product (see `key_of`), empty for the whole catalogue.

    `why` describes what is allowed.
    """

    plu: str
    field: str
    rule: RuleKind
    why: str


class RevisionBeyondModel(Unfit):
    """This revision exceeds the limits of the scale's model."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__()
        self.problems = problems


def problems(document: Mapping[str, Any], limits: Limits) -> Sequence[Problem]:
    """All problems of a catalogue, in the order of its products."""
    seen = Counter(plu_of(item) for item in products(document) if not is_deleted(item))
    result = list(beyond_model(document, limits))
    for product in products(document):
        key = key_of(product)
        if (plu := plu_of(product)) is not None and seen[plu] > 1 and not is_deleted(product):
            why = "another product has this PLU"
            result.append(Problem(plu=key, field="pluNumber", rule=RuleKind.UNIQUE, why=why))
        faults = ((name, fault_in(name, value)) for name, value in product.items())
        result += [
            Problem(plu=key, field=name, rule=RuleKind.FIELD, why=why)
            for name, why in faults
            if why
        ]
    positions = {key_of(product): n for n, product in enumerate(products(document), 1)}
    return sorted(result, key=lambda problem: positions.get(problem.plu, 0))


def beyond_model(
    document: Mapping[str, Any], limits: Limits, *, before: Mapping[str, Any] | None = None
) -> Iterator[Problem]:
    """Values beyond the limits of the model; with `before` only those that changed since."""
    present = before or {"products": []}
    number = len(products(document))
    if number > len(products(present)) and (why := beyond_number(limits, number)):
        yield Problem(plu="", field="products", rule=RuleKind.MODEL, why=why)
    known = by_key(present)
    for product in products(document):
        key = key_of(product)
        yield from _beyond(key, product, known.get(key, {}), limits)
    texts = set(_messages(present).values())
    for message, text in _messages(document).items():
        if text not in texts and (why := beyond_text(limits, text)):
            yield Problem(plu="", field=f"messages.{message}", rule=RuleKind.MODEL, why=why)


def _beyond(key: str, product: Product, known: Product, limits: Limits) -> Iterator[Problem]:
    for name in _LIMITED:
        if name in product and product[name] != known.get(name):
            why = beyond(limits, name, product[name])
            if why is not None:
                yield Problem(plu=key, field=name, rule=RuleKind.MODEL, why=why)


def _messages(document: Mapping[str, Any]) -> Mapping[str, str]:
    """The texts of messages by their ids; malformed entries are left out (§3)."""
    entries = document.get(MESSAGES)
    items = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    return {
        text_of(item.get("id")) or "?": item["value"]
        for item in items
        if isinstance(item.get("value"), str) and item.get("deleted") is not True
    }
