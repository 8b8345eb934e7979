"""The rules one event of a batch is judged by: its texts."""

import pytest

from tests.services.ingest.domain.judged import accepted, refused


@pytest.mark.parametrize("name", ["client", "city", "box", "code"])
@pytest.mark.parametrize("absent", [None, ..., ""])
def test_texts_that_are_left_out_are_empty(name: str, absent: object) -> None:
    assert getattr(accepted(**{name: absent}), name) == ""


@pytest.mark.parametrize(("given", "kept"), [(None, None), (..., None), ("", ""), ("x", "x")])
def test_details_are_kept_as_they_are(given: object, kept: str | None) -> None:
    assert accepted(details=given).details == kept


@pytest.mark.parametrize("name", ["type", "operator"])
def test_type_and_operator_may_be_empty_but_not_missing(name: str) -> None:
    assert getattr(accepted(**{name: ""}), {"type": "kind"}.get(name, name)) == ""
    assert refused(**{name: None}) == "missing_field"
    assert refused(**{name: ...}) == "missing_field"


@pytest.mark.parametrize(("given", "kept"), [(..., "pwa"), ("", "pwa"), ("scanner", "scanner")])
def test_a_source_that_is_not_named_is_the_pwa(given: object, kept: str) -> None:
    assert accepted(source=given).source == kept


def test_a_source_of_null_is_a_fault() -> None:
    assert refused(source=None) == "missing_field"


@pytest.mark.parametrize(
    "name", ["type", "operator", "client", "city", "box", "code", "details", "source"]
)
@pytest.mark.parametrize("value", [7, True, ["x"], {"x": 1}, 1.5])
def test_a_text_must_be_a_text(name: str, value: object) -> None:
    assert refused(**{name: value}) == "bad_text"


@pytest.mark.parametrize(
    ("name", "longest"),
    [("type", 50), ("operator", 100), ("client", 100), ("city", 100), ("box", 100), ("code", 500),
     ("source", 50), ("details", 65_536)],
)  # fmt: skip
def test_texts_have_a_longest_length_in_characters(name: str, longest: int) -> None:
    assert accepted(**{name: "😀" * longest}).skewed is False
    assert refused(**{name: "x" * (longest + 1)}) == "too_long"


@pytest.mark.parametrize(
    "name", ["type", "operator", "client", "city", "box", "code", "details", "source"]
)
@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "\udfff"], ids=ascii)
def test_what_no_database_can_store_is_a_fault(name: str, text: str) -> None:
    assert refused(**{name: text}) == "unstorable_text"


def test_unknown_types_and_fields_are_welcome() -> None:
    assert accepted(type="TELEPORT", day="2025-10-31", synced=False).kind == "TELEPORT"


@pytest.mark.parametrize("text", ["'; DROP TABLE events; --", "<script>alert(1)</script>"])
def test_hostile_texts_are_just_texts(text: str) -> None:
    assert accepted(operator=text, code=text).code == text
