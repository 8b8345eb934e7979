"""The product base of a simulated scale: merges by keys, and a file (§3, R25)."""

from pathlib import Path
from typing import Any

import pytest

from services.scale_bridge.driver.simulator.adapters.products import ProductBase, merge, open_base
from services.scale_bridge.driver.simulator.domain.goods import catalogue

ONE, TWO = {"id": 1, "code": 1}, {"id": 2, "code": 2}


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ({"id": 2, "code": 9, "price": 5}, [ONE, {"id": 2, "code": 9, "price": 5}]),
        ({"code": 2, "price": 5}, [ONE, {**TWO, "price": 5}]),
        ({"id": "2", "price": 5}, [ONE, {**TWO, "id": "2", "price": 5}]),
        ({"id": 3, "code": 2, "x": 1}, [ONE, {"id": 3, "code": 2, "x": 1}]),
        ({"id": 3, "code": 3}, [ONE, TWO, {"id": 3, "code": 3}]),
        ({"id": 1, "deleted": True}, [TWO]),
        (None, [ONE, TWO]),
    ],
    ids=["id", "code", "id as text", "code and another id", "new", "deleted", "nothing"],
)
def test_a_merge_goes_by_id_and_then_by_code(
    new: dict[str, Any] | None, expected: list[dict[str, Any]]
) -> None:
    assert merge([ONE, TWO], [] if new is None else [new], ("id", "code")) == expected


def test_auxiliary_lists_are_merged_by_their_own_keys() -> None:
    base = ProductBase(catalogue(2))
    new = {"products": [], "categories": [{"idCategory": 2, "name": "Сыры"}], "extra": 1}

    merged = base.imported(new, into=base.document, clear=False)

    assert [one["name"] for one in merged["categories"]] == ["Цветы", "Сыры"]
    assert merged["extra"] == 1
    assert merged["products"] == catalogue(2)["products"]
    assert base.imported(new, into=base.document, clear=True) == new


@pytest.mark.parametrize("content", ["[]", "{}", "{", '{"products": 1}'])
def test_a_file_without_a_catalogue_is_no_product_base(tmp_path: Path, content: str) -> None:
    path = tmp_path / "base.json"
    path.write_text(content)

    with pytest.raises(ValueError, match=r"catalogue|Expecting"):
        open_base(path, lambda: catalogue(1))
    assert path.read_text() == content
