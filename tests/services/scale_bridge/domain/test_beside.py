"""What stands beside the products is sent if it differs, and read back as far as we edit it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.scale_bridge.domain.beside import (
    deleted_messages,
    unshown,
    with_forgotten,
)
from services.scale_bridge.domain.difference import WHOLE, Change, difference
from services.scale_bridge.domain.showing import differing


def text(number: float | str, value: str | None = "x", **more: Any) -> dict[str, Any]:
    return {"id": number, "value": value} | more


def a_catalogue(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), "products": [{"pluNumber": 1, "message": 1}]} | more


def test_entries_are_compared_by_their_ids_whatever_their_order() -> None:
    before = a_catalogue(text(1), text(2), categories=[{"idCategory": 1, "name": "a"}])
    after = a_catalogue(text("2"), text(3), text(1, "y"), categories=[{"idCategory": 1.0}])

    assert difference(before, after).beside == {
        "messages": {
            "1": Change(before=text(1), after=text(1, "y")),
            "3": Change(before=None, after=text(3)),
        },
        "categories": {
            "1": Change(before={"idCategory": 1, "name": "a"}, after={"idCategory": 1.0})
        },
    }


def test_what_cannot_be_told_apart_differs_as_a_whole() -> None:
    before = a_catalogue(text(1), rates=[{"r": 1}], theme="dark")
    after = a_catalogue({"value": "x"}, rates=[{"r": 2}])

    assert difference(before, after).beside == {
        "messages": {WHOLE: Change(before=[text(1)], after=[{"value": "x"}])},
        "rates": {WHOLE: Change(before=[{"r": 1}], after=[{"r": 2}])},
        "theme": {WHOLE: Change(before="dark", after=None)},
    }
    assert not difference(before, dict(reversed(before.items())))


def test_a_text_that_differs_is_sent_alone_though_no_product_differs() -> None:
    known = a_catalogue(text(1), text(2), text(3))
    wanted = a_catalogue(text(1), text(2, "y"), text(3), unknown={"k": 1})

    assert differing(known, wanted) == {"messages": [text(2, "y")], "products": [], **UNKNOWN}
    assert differing(wanted, wanted) is None


UNKNOWN = {"unknown": {"k": 1}}


def test_a_product_takes_its_text_along_and_no_other() -> None:
    known = a_catalogue(text(1), text(2))
    wanted = {**known, "products": [{"pluNumber": 1, "message": 2}]}
    without = {**known, "products": [{"pluNumber": 1, "message": None}]}

    assert differing(known, wanted) == {**wanted, "messages": [text(2)]}
    assert differing(known, without) == {"products": without["products"]}


def test_a_text_that_is_wanted_no_more_is_sent_to_be_forgotten() -> None:
    known = a_catalogue(text(1), text(2))
    patch = differing(known, a_catalogue(text(1)))

    assert patch == {"messages": [text(2, deleted=True)], "products": []}
    assert deleted_messages(patch) == {"2"}


def test_texts_in_an_unknown_shape_are_sent_as_they_are() -> None:
    odd = {"messages": {"1": "x"}, "products": []}

    assert differing({"messages": [], "products": []}, odd) == odd
    assert not unshown(odd, a_catalogue())


def test_a_text_must_be_shown_as_it_is_wanted() -> None:
    wanted = a_catalogue(text(1), text(2), text(3, deleted=True), text(4, ""))
    good = a_catalogue(text("4", None), text(2, font=1), text(9), text(1.0, deleted=False))
    bad = a_catalogue(text(1, "y"), text(2, deleted=True), text(3), text(4))

    assert not unshown(wanted, good)
    assert unshown(wanted, bad) == {("messages", str(number)) for number in (1, 2, 3, 4)}
    assert unshown(wanted, {"products": []}) == {
        ("messages", "1"),
        ("messages", "2"),
        ("messages", "4"),
    }
    assert unshown(wanted, good, gone={"9", "8"}) == {("messages", "9")}


def test_of_other_lists_only_what_was_changed_must_be_shown() -> None:
    """A template that somebody took from the scale is no reason to call an upload failed."""
    old = a_catalogue(labelTemplates=[{"id": 1, "width": 58}], lotsOfProduct=[{"id": 1}])
    new = a_catalogue(labelTemplates=[{"id": 1, "width": 60}], lotsOfProduct=[{"id": 1, "x": 2}])

    assert not unshown(old, a_catalogue(), known=old)
    assert not unshown(old, a_catalogue())
    assert unshown(new, old, known=old) == {("labelTemplates", "1")}
    assert not unshown(new, {**old, "labelTemplates": new["labelTemplates"]}, known=old)


def test_what_only_the_scale_has_is_sent_to_be_forgotten_beside_all_others() -> None:
    wanted, read = a_catalogue(text(1)), a_catalogue(text(2), text(3))
    bad = unshown(wanted, read, gone={"2"})

    assert bad == {("messages", "1"), ("messages", "2")}
    assert with_forgotten(wanted, read, bad)["messages"] == [text(1), text(2, deleted=True)]
    assert with_forgotten(wanted, read, frozenset()) == wanted


TEXTS = st.lists(
    st.builds(text, st.integers(1, 6), st.sampled_from("ab"), deleted=st.booleans()),
    unique_by=lambda entry: entry["id"],
    max_size=6,
)


@given(TEXTS, TEXTS)
def test_a_scale_that_merges_what_it_is_sent_shows_what_is_wanted(
    known: list[Any], wanted: list[Any]
) -> None:
    before, after = (
        {**a_catalogue(*known), "products": []},
        {**a_catalogue(*wanted), "products": []},
    )
    patch = differing(before, after)
    merged = {one["id"]: one for one in [*known, *(patch or {}).get("messages", [])]}
    shows = [one for one in merged.values() if not one["deleted"]]

    assert not unshown(after, a_catalogue(*shows), known=before, gone=deleted_messages(patch))
    assert {one["id"]: one["value"] for one in shows} == {
        one["id"]: one["value"] for one in wanted if not one["deleted"]
    }
