"""The shop's day, decided before it begins: goods, products, and who orders what and how.

The seed decides what happens, the tag names of products and phones, so that days never mix.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

FEE: Final = 2000
"""What the storefront charges for a delivery, in tenge."""
ORDERS: Final = 12
CUSTOMERS: Final = 10
RIVALS: Final = 6
"""Customers who want the same flower at the same moment; there is enough for `LUCKY` of them."""
LUCKY: Final = 3
NAMES: Final = ("Айгерим", "Данияр", "Светлана", "Ерлан", "Мария", "Тимур", "Алия", "Олег")
MANNERS: Final = ("once", "double click", "once", "lost answer")
FATES: Final = {0: "rolled back", 2: "cancelled", 4: "unpaid", 6: "paid twice"}
"""What becomes of some orders by their number; the others are delivered or picked up."""


@dataclass(frozen=True, slots=True)
class Goods:
    """A batch of the day's delivery."""

    variety: str
    height_cm: int
    stems: int


@dataclass(frozen=True, slots=True)
class Product:
    """A product: its price in tenge, and the stems that it takes by variety."""

    price: int
    needs: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedOrder:
    """An order that comes up `at` seconds after the beginning: products by name, and pieces.

    Without an `address` it is picked up. The customer changes the address, or comments, later.
    """

    number: int
    at: float
    phone: str
    name: str
    lines: Mapping[str, int]
    address: str | None
    new_address: str | None
    comment: str | None

    @property
    def manner(self) -> str:
        """One of `MANNERS`."""
        return MANNERS[self.number % len(MANNERS)]

    @property
    def fate(self) -> str:
        """One of `FATES`, or delivered."""
        return FATES.get(self.number, "delivered")

    @property
    def rival(self) -> bool:
        """Whether it is for the flower of which there is too little."""
        return self.number >= ORDERS

    @property
    def tasks(self) -> int:
        """The number of its tasks: compositions are a kind of work of their own (§6)."""
        return len({name.startswith("Композиция") for name in self.lines})


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopPlan:
    """The day. All phones of its customers begin with `phones`."""

    tag: str
    phones: str
    goods: tuple[Goods, ...]
    products: Mapping[str, Product]
    orders: tuple[PlannedOrder, ...]

    def total(self, order: PlannedOrder) -> int:
        """What the order costs, with its delivery."""
        lines = sum(self.products[name].price * count for name, count in order.lines.items())
        return lines + (FEE if order.address else 0)

    def stems(self, order: PlannedOrder) -> Counter[str]:
        """The stems that the order takes, by variety."""
        needs: Counter[str] = Counter()
        for name, count in order.lines.items():
            needs.update({key: n * count for key, n in self.products[name].needs.items()})
        return needs


def plan_shop(seed: int, *, tag: str, seconds: float) -> ShopPlan:
    """The shop's part of the day with that tag, which lasts so many seconds."""
    rng = Random(f"shop {seed}")  # noqa: S311 -- reproducible on purpose
    phones = f"+77{int(tag, 16) % 10**7:07}"
    rose, lily, peony = (f"{name} {tag}" for name in ("Роза", "Эустома", "Пион"))
    scarlet, garden, hot = f"Букет «Алый» {tag}", f"Композиция «Сад» {tag}", f"Пионы {tag}"
    products = {
        scarlet: Product(22900, {rose: 5}),
        garden: Product(31500, {rose: 3, lily: 2}),
        hot: Product(19900, {peony: 3}),
    }
    # Two batches of roses: the older one is used up first.
    roses = Goods(rose, 60, 40), Goods(rose, 60, 400)
    goods = (*roses, Goods(lily, 70, 200), Goods(peony, 50, 3 * LUCKY + 1))
    wishes = {scarlet: 1}, {scarlet: 2}, {garden: 1}, {scarlet: 1, garden: 1}
    orders = []
    for n in range(ORDERS + RIVALS):
        rival, house = n >= ORDERS, rng.randint(1, 200)
        customer = n if rival else n % CUSTOMERS
        # Those with a fate of their own are delivered.
        address = f"улица Абая, дом {house}, квартира 5" if n in FATES or rng.random() < 0.7 else ""
        orders.append(
            PlannedOrder(
                number=n,
                at=seconds * (0.3 if rival else 0.8 * n / ORDERS),
                phone=f"{phones}{customer:02}",
                name=NAMES[customer % len(NAMES)],
                lines={hot: 1} if rival else rng.choice(wishes),
                address=address or None,
                new_address=f"улица Абая, дом {house + 1}" if address and n % 5 == 1 else None,
                comment=f"Позвоните за {n + 5} минут" if n % 6 == 2 else None,
            )
        )
    return ShopPlan(tag=tag, phones=phones, goods=goods, products=products, orders=tuple(orders))
