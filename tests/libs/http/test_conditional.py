"""Conditional requests, as RFC 9110 §13 wants them read."""

import pytest
from fastapi import HTTPException, Request

from libs.http.conditional import if_match, not_modified, strong_tag

SEVEN = strong_tag(7)


def request(name: str, lines: list[str]) -> Request:
    headers = [(name.lower().encode(), line.encode()) for line in lines]
    return Request({"type": "http", "headers": headers})


def test_a_tag_is_quoted() -> None:
    assert SEVEN == '"7"'


WANTED = [[], ['"7"'], ["*"], [" * "], ['"6", "7"'], ['"6"', '"7"'], ['"a,b" , "7"'], ['"7",']]
OTHERS = [['"6"'], ['W/"7"'], ["7"], [""], ['"7'], ['"*"'], ['"x7"', 'W/"7"'], ["garbage"]]
KNOWN = [['"7"'], ['W/"7"'], ["*"], ['"6", W/"7"'], ['"6"', '"7"']]
UNKNOWN = [[], ['"6"'], ["7"], [""], ["garbage"]]


@pytest.mark.parametrize("lines", WANTED + OTHERS, ids=str)
async def test_only_if_match_with_the_current_tag_allows_a_change(lines: list[str]) -> None:
    precondition = await if_match(request("If-Match", lines))

    assert precondition.allows(SEVEN) == (lines in WANTED)


async def test_a_change_of_another_state_is_412_with_the_tag_of_the_present_one() -> None:
    precondition = await if_match(request("If-Match", ['"6"']))

    precondition.check('"6"', "changed")
    with pytest.raises(HTTPException) as refused:
        precondition.check(SEVEN, "changed")

    error = refused.value
    assert (error.status_code, error.detail, error.headers) == (412, "changed", {"ETag": SEVEN})


@pytest.mark.parametrize(("lines", "allowed"), [([], True), (["*"], False), (['"7"'], False)])
async def test_a_missing_resource_is_changed_only_without_if_match(
    lines: list[str], allowed: bool
) -> None:
    precondition = await if_match(request("If-Match", lines))

    assert precondition.allows(None) == allowed


@pytest.mark.parametrize("lines", KNOWN + UNKNOWN, ids=str)
def test_only_a_client_with_the_current_tag_gets_not_modified(lines: list[str]) -> None:
    response = not_modified(request("If-None-Match", lines), SEVEN, {"Cache-Control": "public"})

    assert (response is not None) == (lines in KNOWN)
    if response is not None:
        assert (response.status_code, response.body) == (304, b"")
        assert response.headers["ETag"] == SEVEN
        assert response.headers["Cache-Control"] == "public"
