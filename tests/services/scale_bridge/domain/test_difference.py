"""What differs between two catalogues."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.domain.difference import DERIVED, Change, difference


def of(*products: dict[str, Any]) -> dict[str, Any]:
    return {"products": list(products)}


def test_products_are_added_removed_and_changed() -> None:
    before = of({"pluNumber": 1, "price": 5}, {"pluNumber": 2, "price": 6}, {"pluNumber": 3})
    after = of({"pluNumber": 4}, {"pluNumber": 3}, {"pluNumber": 1, "price": 7, "name": "Сыр"})

    found = difference(before, after)

    assert found.added == {"4": {"pluNumber": 4}}
    assert found.removed == {"2": {"pluNumber": 2, "price": 6}}
    assert found.changed == {
        "1": {"price": Change(before=5, after=7), "name": Change(before=None, after="Сыр")}
    }
    assert found.keys == {"1", "2", "4"}


def test_what_means_the_same_is_no_difference() -> None:
    before = of({"pluNumber": 1, "id": 7, "code": "9", "price": 5, "shelfLifeInDays": 1})
    after = of({"pluNumber": "1", "id": "7", "code": 9, "price": 5.0, "shelfLifeInDays": 4})

    assert not difference(before, after, ignored=DERIVED)
    assert difference(before, after).changed == {
        "1": {"shelfLifeInDays": Change(before=1, after=4)}
    }


def test_true_is_not_one() -> None:
    assert difference(of({"pluNumber": 1, "x": True}), of({"pluNumber": 1, "x": 1}))


@given(st.integers(0, 20), st.integers(0, 20))
def test_it_names_exactly_the_products_that_one_has_and_the_other_has_not(
    first: int, second: int
) -> None:
    found = difference(catalogue(first), catalogue(second))

    assert set(found.added) == {str(n) for n in range(first + 1, second + 1)}
    assert set(found.removed) == {str(n) for n in range(second + 1, first + 1)}
    assert not found.changed
