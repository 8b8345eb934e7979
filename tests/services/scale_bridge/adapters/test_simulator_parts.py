"""Faults as one writes them, and goods as an upload merges them."""

from pathlib import Path
from typing import Any

import pytest

from services.scale_bridge.adapters.simulator.faults import KINDS, BadFault, Faults, parse_fault
from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.adapters.simulator.products import ProductBase, merge, open_base
from services.scale_bridge.adapters.wire import Step


def test_faults_are_written_as_the_specification_writes_them() -> None:
    assert parse_fault("poll:inf").number is None
    assert parse_fault("poll:3").number == 3
    mute = parse_fault("mute:FF13/09:2")
    assert (mute.steps, mute.times) == (frozenset({Step.CHECK}), 2)
    late = parse_fault("late:15:0.5")
    assert (late.steps, late.seconds, late.times) == (frozenset({Step.CREATED}), 0.5, None)
    assert parse_fault("rc:14:CB").number == 0xCB
    assert parse_fault("check2msg:цена: нет").text == "цена: нет"
    assert parse_fault("badhash*4").times == 4
    assert parse_fault("lostack").times == 1


@pytest.mark.parametrize(
    "given",
    [
        *("", "nothing", "pw:1", "poll", "poll:many", "fin", "fin:99", "mute:14:0", "mute:14:x"),
        *("drip:x", "drip:-1", "drip:nan", "rc:14:QQ", "rc:14", "pw*0"),
    ],
)
def test_what_is_no_fault_is_refused(given: str) -> None:
    with pytest.raises(BadFault):
        parse_fault(given)


def test_a_fault_for_some_times_is_used_up_by_what_it_is_about() -> None:
    faults = Faults(["mute:14:2", "pw"])

    assert faults.bite("mute", Step.CHECK) is None
    assert [faults.bite("mute", Step.CREATE) is not None for _ in range(3)] == [True, True, False]
    assert faults.bite("pw") is not None
    assert faults.find("pw") is not None


def test_every_fault_says_how_it_is_written() -> None:
    forms = {kind.form(name) for name, kind in KINDS.items()}

    assert {"pw", "mute:step[:times]", "late:step:seconds", "poll:number"} <= forms


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (
            [{"id": 2, "code": 9, "price": 5}],
            [{"id": 1, "code": 1}, {"id": 2, "code": 9, "price": 5}],
        ),
        ([{"code": 2, "price": 5}], [{"id": 1, "code": 1}, {"id": 2, "code": 2, "price": 5}]),
        ([{"id": "2", "price": 5}], [{"id": 1, "code": 1}, {"id": "2", "code": 2, "price": 5}]),
        ([{"id": 3, "code": 2, "x": 1}], [{"id": 1, "code": 1}, {"id": 3, "code": 2, "x": 1}]),
        (
            [{"id": 3, "code": 3}],
            [{"id": 1, "code": 1}, {"id": 2, "code": 2}, {"id": 3, "code": 3}],
        ),
        ([{"id": 1, "deleted": True}], [{"id": 2, "code": 2}]),
        ([], [{"id": 1, "code": 1}, {"id": 2, "code": 2}]),
    ],
)
def test_a_merge_goes_by_id_and_then_by_code(
    new: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    old = [{"id": 1, "code": 1}, {"id": 2, "code": 2}]

    assert merge(old, new, ("id", "code")) == expected


def test_what_goes_with_the_products_is_merged_by_its_own_keys() -> None:
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
