"""The tasks that an order needs (spec shop §6)."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import Sealed
from contracts.shop import OrderCommentAdded, OrderCommentChanged, OrderCommentRemoved
from services.shop.production.domain.planning import (
    first_comment,
    minutes_of,
    plan,
    priority_of,
    type_of,
)
from tests.services.shop.orders.orders import NOON, line


@pytest.mark.parametrize(
    ("name", "task_type"),
    [
        ("Букет роз", "bouquet"),
        ("КОМПОЗИЦИЯ весна", "composition"),
        ("Розы в корзине", "composition"),
        ("Оформление зала", "decoration"),
        ("Свадебный декор", "decoration"),
        ("Открытка", "bouquet"),
    ],
)
def test_a_product_is_made_as_its_name_says(name: str, task_type: str) -> None:
    assert type_of(name) == task_type


def test_an_order_has_one_task_for_each_type_with_minutes_by_lines() -> None:
    names = ["Букет", "Композиция", "Розы", "Корзина", "Декор"]
    lines = [replace(line(number), product_name=name) for number, name in enumerate(names)]

    planned = {kind.value: (len(own), minutes_of(kind, own)) for kind, own in plan(lines).items()}

    assert planned == {"bouquet": (2, 40), "composition": (2, 80), "decoration": (1, 15)}


def test_an_order_without_lines_needs_no_task() -> None:
    assert plan([]) == {}


@given(names=st.lists(st.sampled_from(["Букет", "Композиция", "Декор", "Корзина"]), max_size=30))
def test_every_line_is_in_one_task(names: list[str]) -> None:
    lines = [replace(line(number), product_name=name) for number, name in enumerate(names)]

    planned = plan(lines)

    in_tasks = [one.item_id for own in planned.values() for one in own]
    assert sorted(in_tasks) == [*range(len(names))]
    assert all(5 <= minutes_of(kind, own) <= 480 for kind, own in planned.items())


@pytest.mark.parametrize(
    ("hours", "priority"),
    [
        (-1, "urgent"),
        (1.99, "urgent"),
        (2, "high"),
        (3.99, "high"),
        (4, "normal"),
        (None, "normal"),
    ],
)
def test_the_priority_follows_from_the_hours_that_are_left(
    hours: float | None, priority: str
) -> None:
    deadline = None if hours is None else NOON + timedelta(hours=hours)

    assert priority_of(deadline, NOON) == priority


def test_the_instructions_are_the_first_comment_that_was_not_removed() -> None:
    def added(number: int, text: str) -> OrderCommentAdded:
        return OrderCommentAdded(
            order_id=1,
            comment_id=number,
            text=Sealed(text),
            author="a",
            customer_name=None,
            added_at=NOON,
        )

    changed = OrderCommentChanged(
        order_id=1, comment_id=2, text=Sealed("two, corrected"), changed_by="a", changed_at=NOON
    )
    removed = OrderCommentRemoved(order_id=1, comment_id=1, removed_by="a", removed_at=NOON)

    assert first_comment([]) is None
    assert first_comment([added(1, "one"), added(2, "two")]) == "one"
    assert first_comment([added(1, "one"), added(2, "two"), changed, removed]) == "two, corrected"
