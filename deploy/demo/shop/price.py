"""A product of the shop that label scales weigh: its price of the day must reach them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.demo.compare import Line, spelled
from deploy.demo.fleet import Scale, shown_by
from deploy.demo.shop.staff import Member, create_product

PRODUCT: Final = "Сухоцветы, кг"
PLU, ARTICLE = 9, 58
"""The product on the simulated scales."""


def price_of(tag: str) -> int:
    """The price of a day in tenge; days differ."""
    return 1000 + int(tag, 16) % 9000


async def set_price(manager: Member, tag: str) -> None:
    """Sell the product at the price of the day. Raises NoAnswer."""
    about = {"category": "other", "cost_price": 500, "retail_price": 999, "article": ARTICLE}
    await create_product(manager, PRODUCT, about)
    body = [{"article": ARTICLE, "price": price_of(tag)}]
    await manager.request("POST", "/api/products/prices", json=body)


def price_line(home: Path, scales: Sequence[Scale], tag: str) -> Line:
    """The price in the product bases of the scales that work."""
    able = [scale for scale in scales if scale.kind in ("well", "slow")]
    displayed = Counter(f"{shown_by(home, scale, PLU)} on scales" for scale in able)
    sent = {f"{float(price_of(tag))} on scales": len(able)}
    what = f"shop: tenge for {PRODUCT}"
    return Line(what=what, sent=spelled(sent), displayed=spelled(dict(displayed.most_common())))
