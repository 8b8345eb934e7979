"""The difference between two catalogues, the patch for a scale, and the read-back comparison:
products and auxiliary lists."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scale_bridge.catalogue.domain.auxiliary_lists import (
    deleted_messages,
    missing_entries,
    with_deletions,
)
from services.scale_bridge.catalogue.domain.difference import (
    DERIVED,
    WHOLE,
    FieldChange,
    difference,
)
from services.scale_bridge.catalogue.domain.readback import differing, extra, wrong


def of(*products: dict[str, Any]) -> dict[str, Any]:
    return {"products": list(products)}


def test_products_are_added_removed_and_changed() -> None:
    before = of({"pluNumber": 1, "price": 5}, {"pluNumber": 2, "price": 6}, {"pluNumber": 3})
    after = of({"pluNumber": 4}, {"pluNumber": 3}, {"pluNumber": 1, "price": 7, "name": "Сыр"})

    changes = difference(before, after)

    assert changes.added == {"4": {"pluNumber": 4}}
    assert changes.removed == {"2": {"pluNumber": 2, "price": 6}}
    assert changes.changed == {
        "1": {
            "price": FieldChange(before=5, after=7),
            "name": FieldChange(before=None, after="Сыр"),
        }
    }
    assert changes.keys == {"1", "2", "4"}


def test_equal_values_in_other_types_are_no_difference() -> None:
    before = of({"pluNumber": 1, "id": 7, "code": "9", "price": 5, "shelfLifeInDays": 1})
    after = of({"pluNumber": "1", "id": "7", "code": 9, "price": 5.0, "shelfLifeInDays": 4})

    assert not difference(before, after, ignored=DERIVED)
    assert difference(before, after).changed == {
        "1": {"shelfLifeInDays": FieldChange(before=1, after=4)}
    }


def test_true_is_not_one() -> None:
    assert difference(of({"pluNumber": 1, "x": True}), of({"pluNumber": 1, "x": 1}))


def a_product(plu: int, **different: Any) -> dict[str, Any]:
    return {"pluNumber": plu, "code": plu + 100, "price": 10.0} | different


def a_catalogue(*products: dict[str, Any]) -> dict[str, Any]:
    return {"categories": [{"idCategory": 1}], "products": list(products)}


WANTED = a_catalogue(a_product(1), a_product(2, price=12.0))


def test_a_scale_with_additional_products_displays_the_desired_ones() -> None:
    read = a_catalogue(a_product(1, shelfLifeInDays=3), a_product(2, price=12), a_product(9))

    assert not wrong(WANTED, read)
    assert extra(WANTED, read) == {"9"}


def test_a_wrong_price_a_missing_product_and_a_deleted_one_are_wrong() -> None:
    read = a_catalogue(a_product(2, price=10.0), a_product(9))

    assert wrong(WANTED, read, gone={"9"}) == {"1", "2", "9"}


def test_a_cleared_date_must_be_gone() -> None:
    desired = a_catalogue(a_product(1, sellByDate=""))

    assert wrong(desired, a_catalogue(a_product(1, sellByDate="01-03-26"))) == {"1"}
    assert not wrong(desired, a_catalogue(a_product(1)))
    assert not wrong(a_catalogue(a_product(1)), a_catalogue(a_product(1, sellByDate="01-03-26")))


def text(number: float | str, value: str | None = "x", **more: Any) -> dict[str, Any]:
    return {"id": number, "value": value} | more


def with_texts(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), "products": [{"pluNumber": 1, "message": 1}]} | more


def test_entries_are_compared_by_their_ids_whatever_their_order() -> None:
    before = with_texts(text(1), text(2), categories=[{"idCategory": 1, "name": "a"}])
    after = with_texts(text("2"), text(3), text(1, "y"), categories=[{"idCategory": 1.0}])

    assert difference(before, after).lists == {
        "messages": {
            "1": FieldChange(before=text(1), after=text(1, "y")),
            "3": FieldChange(before=None, after=text(3)),
        },
        "categories": {
            "1": FieldChange(before={"idCategory": 1, "name": "a"}, after={"idCategory": 1.0})
        },
    }


def test_lists_without_ids_differ_as_a_whole() -> None:
    before = with_texts(text(1), rates=[{"r": 1}], theme="dark")
    after = with_texts({"value": "x"}, rates=[{"r": 2}])

    assert difference(before, after).lists == {
        "messages": {WHOLE: FieldChange(before=[text(1)], after=[{"value": "x"}])},
        "rates": {WHOLE: FieldChange(before=[{"r": 1}], after=[{"r": 2}])},
        "theme": {WHOLE: FieldChange(before="dark", after=None)},
    }
    assert not difference(before, dict(reversed(before.items())))


KNOWN, UNKNOWN_SHAPE = with_texts(text(1), text(2)), {"messages": {"1": "x"}, "products": []}
OTHER_TEXT, NO_TEXT = [{"pluNumber": 1, "message": message} for message in (2, None)]
PRICED = a_catalogue(a_product(1), a_product(2))
ONE_MORE = a_catalogue(a_product(1), a_product(2, price=12.0), a_product(3))


@pytest.mark.parametrize(
    ("known", "desired", "sent"),
    [
        (PRICED, WANTED, a_catalogue(a_product(2, price=12.0))),
        (WANTED, WANTED, None),
        (None, WANTED, WANTED),
        (ONE_MORE, WANTED, a_catalogue(a_product(3, deleted=True))),
        (
            *(KNOWN, with_texts(text(1), text(2, "y"), unknown={"k": 1})),
            {"messages": [text(2, "y")], "products": [], "unknown": {"k": 1}},
        ),
        (KNOWN, KNOWN, None),
        (
            *(KNOWN, {**KNOWN, "products": [OTHER_TEXT]}),
            {"messages": [text(2)], "products": [OTHER_TEXT]},
        ),
        (KNOWN, {**KNOWN, "products": [NO_TEXT]}, {"products": [NO_TEXT]}),
        (KNOWN, with_texts(text(1)), {"messages": [text(2, deleted=True)], "products": []}),
        ({"messages": [], "products": []}, UNKNOWN_SHAPE, UNKNOWN_SHAPE),
    ],
    ids=[
        *("only what differs", "nothing", "all to an unknown scale", "a deleted product"),
        *("a text alone, though no product differs", "no text", "a product with its text only"),
        *("a product without its text", "a text to forget", "texts in an unknown shape"),
    ],
)
def test_the_patch_for_a_known_catalogue(known: Any, desired: Any, sent: Any) -> None:
    assert differing(known, desired) == sent


def test_deleted_texts_are_detected_and_malformed_ones_ignored() -> None:
    assert deleted_messages(differing(KNOWN, with_texts(text(1)))) == {"2"}
    assert not missing_entries(UNKNOWN_SHAPE, with_texts())


def test_a_text_must_be_displayed_as_desired() -> None:
    desired = with_texts(text(1), text(2), text(3, deleted=True), text(4, ""))
    good = with_texts(text("4", None), text(2, font=1), text(9), text(1.0, deleted=False))
    bad = with_texts(text(1, "y"), text(2, deleted=True), text(3), text(4))

    assert not missing_entries(desired, good)
    assert missing_entries(desired, bad) == {("messages", str(number)) for number in (1, 2, 3, 4)}
    assert missing_entries(desired, {"products": []}) == {("messages", plu) for plu in "124"}
    assert missing_entries(desired, good, gone={"9", "8"}) == {("messages", "9")}


def test_of_other_lists_only_changed_entries_are_compared() -> None:
    """A template that was removed on the scale does not make an upload fail."""
    old = with_texts(labelTemplates=[{"id": 1, "width": 58}], lotsOfProduct=[{"id": 1}])
    new = with_texts(labelTemplates=[{"id": 1, "width": 60}], lotsOfProduct=[{"id": 1, "x": 2}])

    assert not missing_entries(old, with_texts(), known=old)
    assert not missing_entries(old, with_texts())
    assert missing_entries(new, old, known=old) == {("labelTemplates", "1")}
    assert not missing_entries(new, {**old, "labelTemplates": new["labelTemplates"]}, known=old)


def test_texts_that_only_the_scale_has_are_deleted() -> None:
    desired, read = with_texts(text(1)), with_texts(text(2), text(3))
    bad = missing_entries(desired, read, gone={"2"})

    assert bad == {("messages", "1"), ("messages", "2")}
    assert with_deletions(desired, read, bad)["messages"] == [text(1), text(2, deleted=True)]
    assert with_deletions(desired, read, frozenset()) == desired


TEXTS = st.lists(
    st.builds(text, st.integers(1, 6), st.sampled_from("ab"), deleted=st.booleans()),
    unique_by=lambda entry: entry["id"],
    max_size=6,
)


@given(TEXTS, TEXTS)
def test_a_scale_that_merges_the_patch_displays_the_desired_catalogue(
    known: list[Any], desired: list[Any]
) -> None:
    before, after = [{**with_texts(*texts), "products": []} for texts in (known, desired)]
    patch = differing(before, after)
    merged = {one["id"]: one for one in [*known, *(patch or {}).get("messages", [])]}
    shows = [one for one in merged.values() if not one["deleted"]]

    assert not missing_entries(
        after, with_texts(*shows), known=before, gone=deleted_messages(patch)
    )
    values = {one["id"]: one["value"] for one in desired if not one["deleted"]}
    assert {one["id"]: one["value"] for one in shows} == values
