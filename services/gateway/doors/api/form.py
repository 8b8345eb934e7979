"""Strict parsing of small forms: a field occurs once at most (RFC 6749 §3.2, appendix B)."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request

from libs.http.body_limit import with_limit

URLENCODED: Final = "application/x-www-form-urlencoded"
MOST_BYTES: Final = 16 * 1024
MOST_FIELDS: Final = 40


class BadForm(Exception):
    """The body is not a form, or repeats a field."""


async def form_of(request: Request) -> Mapping[str, str]:
    """Parse the request's form; empty fields are left out.

    Raises BadForm; HTTPException 413 for a large form, 408 for a slow one.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != URLENCODED:
        raise BadForm
    return _fields(await with_limit(request, MOST_BYTES).body())


def _fields(body: bytes) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise BadForm from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BadForm
    return {name: value for name, value in fields.items() if value}
