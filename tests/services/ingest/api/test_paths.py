"""Paths as old clients spell them."""

import pytest

from services.ingest.api.paths import tidy


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("/", "/"),
        ("", "/"),
        ("//", "/"),
        ("/api/v1/events/batch", "/api/v1/events/batch"),
        ("/api/v1/events/batch/", "/api/v1/events/batch"),
        ("//api//v1/events/batch", "/api/v1/events/batch"),
        ("/api/v1/api/v1/events/batch", "/api/v1/events/batch"),
        ("/api/v1//api/v1/api/v1/dashboard/state/", "/api/v1/dashboard/state"),
        ("/api/v1/api/v10", "/api/v1/api/v10"),
        ("/x/api/v1/api/v1/y", "/x/api/v1/api/v1/y"),
    ],
)
def test_slashes_and_prefixes_written_twice_are_tidied(spelled: str, meant: str) -> None:
    assert tidy(spelled) == meant
