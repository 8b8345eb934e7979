"""The plan of the shop's day: reproducible, and with something of everything."""

from collections import Counter
from dataclasses import replace

from deploy.demo.shop.plan import FATES, FEE, LUCKY, MANNERS, RIVALS, plan_shop

PLAN = plan_shop(7, tag="abc123", seconds=3600)


def test_the_same_seed_gives_the_same_day_with_other_names_and_phones_under_another_tag() -> None:
    other = plan_shop(7, tag="abc124", seconds=3600)

    assert plan_shop(7, tag="abc123", seconds=3600) == PLAN
    assert plan_shop(8, tag="abc123", seconds=3600) != PLAN
    assert [len(one.lines) for one in other.orders] == [len(one.lines) for one in PLAN.orders]
    assert not {one.phone for one in other.orders} & {one.phone for one in PLAN.orders}
    assert not other.products.keys() & PLAN.products.keys()


def test_phones_are_ten_digits_of_kazakhstan_that_the_prefix_of_the_day_finds() -> None:
    phones = {one.phone for one in PLAN.orders}

    assert all(one.startswith(PLAN.phones) and len(one) == len("+77012345678") for one in phones)
    assert len(phones) < len(PLAN.orders)


def test_every_manner_and_every_fate_comes_up() -> None:
    assert {one.manner for one in PLAN.orders} == set(MANNERS)
    assert {one.fate for one in PLAN.orders} == {*FATES.values(), "delivered"}
    assert all(one.address for one in PLAN.orders if one.fate != "delivered")
    assert any(one.address is None for one in PLAN.orders)
    assert any(one.new_address for one in PLAN.orders)
    assert any(one.comment for one in PLAN.orders)
    assert {one.tasks for one in PLAN.orders} == {1, 2}


def test_there_are_stems_for_all_but_some_of_the_rivals() -> None:
    wanted: Counter[str] = Counter()
    for order in PLAN.orders:
        wanted += PLAN.stems(order)
    received: Counter[str] = Counter()
    for goods in PLAN.goods:
        received[goods.variety] += goods.stems

    short = {variety for variety in wanted if wanted[variety] > received[variety]}
    rivals = [one for one in PLAN.orders if one.rival]
    assert short == {variety for one in rivals for variety in PLAN.stems(one)}
    (variety,) = short
    assert wanted[variety] // RIVALS * LUCKY <= received[variety]
    assert wanted[variety] // RIVALS * (LUCKY + 1) > received[variety]


def test_a_delivery_costs_its_fee() -> None:
    order = next(one for one in PLAN.orders if one.address)

    assert PLAN.total(order) - PLAN.total(replace(order, address=None)) == FEE
