"""The announced price of a product, and lists of new prices."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from contracts.shop import PriceChanged, ProductDetails, ShopEvent
from libs.currency import minor_unit_digits
from libs.errors import Unfit
from libs.eventsourcing.decider import Decider
from services.shop.products.domain import Command, current_price

MOST: Final = 1_000_000_000
COLUMNS: Final = frozenset({"id", "article", "price"})


class BadPriceList(Unfit):
    """В первой строке файла нужны столбцы article или id, и price"""


def price_after(details: ProductDetails | None, command: Command) -> PriceChanged | None:
    """The price of a product with an article after a command."""
    if details is None or details.article is None:
        return None
    return PriceChanged(
        price_id=command.price_id,
        article=details.article,
        amount=current_price(details) * 10 ** minor_unit_digits(command.currency),
        currency=command.currency,
        valid_at=command.now,
        changed_by=command.by,
        changed_at=command.now,
    )


def decide_price(known: PriceChanged | None, new: PriceChanged) -> list[ShopEvent]:
    """The announcement of a price, unless it repeats the last one."""
    prices = [one and (one.article, one.amount, one.currency) for one in (known, new)]
    return [new] if prices[0] != prices[1] else []


def evolve_price(known: PriceChanged | None, event: ShopEvent) -> PriceChanged | None:
    """The last announcement."""
    return event if isinstance(event, PriceChanged) else known


PRICE: Final[Decider[PriceChanged | None, PriceChanged, ShopEvent]] = Decider(
    category="price", initial=None, decide=decide_price, evolve=evolve_price
)
"""The announced prices of one product, whose number is the id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewPrice:
    """The price in whole tenge of a product, by its number or its article."""

    price: int
    product_id: int | None = None
    article: int | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a price list without a price, by its line in the file, from 1."""

    line: int
    reason: str


def read_rows(rows: Iterable[Mapping[str, str | None]]) -> Iterator[NewPrice | BadRow]:
    """The new prices of a file whose first line names the columns. Raises BadPriceList."""
    for line, row in enumerate(rows, 2):
        named = {str(name).strip().lower(): text for name, text in row.items()}
        if "price" not in named or not named.keys() & {"id", "article"}:
            raise BadPriceList
        values = {name: _number(named.get(name)) for name in COLUMNS}
        price = values["price"]
        if price is None or not 0 < price <= MOST:
            yield BadRow(line, "цена должна быть целым числом больше 0")
        elif not (values["id"] or values["article"]):
            yield BadRow(line, "нет ни id, ни article")
        else:
            yield NewPrice(price=price, product_id=values["id"], article=values["article"])


def _number(text: str | None) -> int | None:
    digits = (text or "").replace(" ", "").replace("\u00a0", "")
    return int(digits) if digits.isdecimal() and len(digits) <= len(str(2**53)) else None
