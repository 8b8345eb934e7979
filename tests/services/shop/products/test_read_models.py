"""The catalogue's tables depend on the history alone."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from contracts.envelope import Envelope
from contracts.shop import Component, Material, PriceId, ProductDetails, ShopEvent
from libs.errors import NotFound
from libs.eventsourcing.decider import Decider
from libs.postgres.pool import Pool
from libs.testing.read_models import (
    apply,
    assert_history_decides,
    assert_migrated_as_declared,
    assert_tenants_are_isolated,
)
from services.shop.products import domain, read_models
from services.shop.products.calculator import domain as calculator
from services.shop.products.calculator import read_models as material_models

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TABLES = ("product", "material")
PROJECTIONS = (read_models.projection(), material_models.projection())
ROSE: dict[str, Any] = {"kind": "flower", "name": "Роза", "quantity": 1, "unit": "шт"}


def a_change(random: Random) -> domain.Change:
    """A change of a product that is allowed in any state."""
    price = random.randrange(1, 9)
    return random.choice(
        (
            domain.ChangeProduct({"sale_price": random.choice((None, price)), "article": price}),
            domain.ChangeProduct({"description": random.choice((None, "15 роз"))}),
            domain.SetPrice(price),
            domain.ToggleActive(),
            domain.SetImages(("/a.jpg", "/b.jpg")[: random.randrange(3)]),
            domain.AddPart(domain.COMPONENTS, ROSE | {"unit_cost": 1, "unit_price": price}),
            domain.RemoveProduct(),
        )
    )


def history(random: Random) -> list[Envelope[ShopEvent]]:
    """Products and materials of two shops, changed at random."""
    events: list[Envelope[ShopEvent]] = []
    for number in range(1, 12):
        details = ProductDetails(name="Роза", category="other", cost_price=0, retail_price=number)
        component = Component(component_id=1, **ROSE, unit_cost=0, unit_price=0)
        added = domain.AddProduct(product_id=number, details=details, components=(component,))
        changes: list[domain.Change] = [
            added,
            *(a_change(random) for _ in range(random.randrange(8))),
        ]
        price: dict[str, Any] = {"price_id": PriceId(UUID(int=0)), "currency": "KZT"}
        _decide(
            events,
            domain.PRODUCT,
            number,
            [partial(domain.Command, change=one, **price) for one in changes],
        )
        material = Material(name="Лента", price=Decimal("1.50"), unit="м", category="a")
        of_material: list[Any] = [
            partial(calculator.AddMaterial, material_id=number, material=material),
            partial(calculator.ChangeMaterial, changes={"category": random.choice((None, "b"))}),
        ]
        of_material += [calculator.RemoveMaterial] * random.randrange(2)
        _decide(events, calculator.MATERIAL, number, of_material)
    return events


def _decide(
    events: list[Envelope[ShopEvent]],
    decider: Decider[Any, Any, ShopEvent],
    number: int,
    commands: list[Any],
) -> None:
    state, version = decider.initial, 0
    for command in commands:
        now = NOON + timedelta(minutes=len(events))
        try:
            decided = decider.decide(state, command(by="anna", now=now))
        except NotFound:
            continue
        for event in decided:
            state, version = decider.evolve(state, event), version + 1
            events.append(
                Envelope(
                    event_id=UUID(int=len(events)),
                    tenant=f"shop-{number % 2}",
                    stream=decider.stream(number),
                    version=version,
                    occurred_at=now,
                    recorded_at=now,
                    correlation_id=None,
                    causation_id=None,
                    actor=None,
                    traceparent=None,
                    event=event,
                )
            )


async def test_the_history_alone_decides_the_tables(pool: Pool) -> None:
    histories = [history(Random(seed)) for seed in range(4)]

    await assert_history_decides(pool, partial(apply, pool, "shop", PROJECTIONS), histories, TABLES)


async def test_shops_do_not_see_each_others_rows(pool: Pool, reading_pool: Pool) -> None:
    await apply(pool, "shop", PROJECTIONS, history(Random(1)))

    await assert_tenants_are_isolated(reading_pool, TABLES)


async def test_the_tables_are_as_declared(pool: Pool) -> None:
    declared = (read_models.PRODUCT, material_models.MATERIAL)

    await assert_migrated_as_declared(pool, "shop", declared)
