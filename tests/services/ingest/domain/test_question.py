"""What a filter means."""

import pytest

from services.ingest.domain.question import shown, wanted


@pytest.mark.parametrize(
    ("typed", "meant"), [(None, None), ("", None), ("—", ""), ("anna", "anna"), (" ", " ")]
)
def test_nothing_typed_filters_nothing_and_a_dash_means_no_name(
    typed: str | None, meant: str | None
) -> None:
    assert wanted(typed) == meant


def test_an_empty_name_is_shown_as_a_dash() -> None:
    assert (shown(""), shown("anna")) == ("—", "anna")
