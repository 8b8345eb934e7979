"""Tables in Google Sheets, through gspread, an optional dependency."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeVar

import gspread
import requests
from google.auth.exceptions import GoogleAuthError, TransportError
from gspread.exceptions import APIError
from gspread.http_client import HTTPClient
from gspread.urls import SPREADSHEETS_API_V4_BASE_URL
from gspread.utils import absolute_range_name

from libs.clock import Clock, utc_now
from services.ingest.imports.adapters.table import PAGE, Choice, Pages, Row, Unreadable, Worksheet
from services.ingest.imports.domain.spreadsheet import DAY_ZERO, Cell, Lost, moment_at

API: Final = SPREADSHEETS_API_V4_BASE_URL.removesuffix("/v4/spreadsheets")
SCOPES: Final = ("https://www.googleapis.com/auth/spreadsheets.readonly",)
ROWS_ASKED_FOR: Final = 5 * PAGE
"""How many rows one request brings: the quota counts requests."""
ATTEMPTS: Final = 8
LONGEST_WAIT: Final = 120.0
SECONDS: Final = (10.0, 120.0)
"""How long to wait for a connection and for an answer."""

# Numbers and dates as they are stored, not as the sheet shows them: barcodes keep their digits.
# Dates come as numbers, and which numbers are dates says only the other rendering.
_AS_STORED: Final = {
    "valueRenderOption": "UNFORMATTED_VALUE",
    "dateTimeRenderOption": "SERIAL_NUMBER",
}
_DATES_AS_TEXTS: Final = _AS_STORED | {"dateTimeRenderOption": "FORMATTED_STRING"}
_REFUSALS: Final = {
    400: "the API does not understand the spreadsheet's id or the worksheet's name",
    401: "the credentials are not accepted",
    403: "the spreadsheet is not shared with the service account, or the API is not switched on",
    404: "there is no spreadsheet with this id",
}

Pause = Callable[[float], Awaitable[None]]
Result = TypeVar("Result")


@asynccontextmanager
async def open_spreadsheet(
    spreadsheet_id: str,
    credentials: Path,
    choice: Choice,
    *,
    api: str = API,
    pause: Pause = asyncio.sleep,
    clock: Clock = utc_now,
) -> AsyncIterator[Sequence[Worksheet]]:
    """The chosen worksheets of a spreadsheet that have any rows.

    `credentials` is the key file of a service account; it also says where tokens come from.
    `pause` is slept in, as long as the API wishes, when it has been asked too often. Raises
    Unreadable.
    """
    session = _client(credentials, api)
    ask = partial(_request, pause=pause, clock=clock)
    try:
        told = await ask(partial(session.fetch_sheet_metadata, spreadsheet_id))
        rows = {
            sheet["properties"]["title"]: sheet["properties"]["gridProperties"]["rowCount"]
            for sheet in told["sheets"]
            if "gridProperties" in sheet["properties"]
        }
        found = []
        for name in choice.chosen(list(rows)):
            read = partial(_read, session, spreadsheet_id, name)
            if header := await ask(partial(read, 1, 1)):
                pages = partial(_pages, read, ask, rows[name])
                known = rows[name] - 1
                found.append(Worksheet(name=name, header=header[0][1], rows=known, pages=pages))
        if not found:
            raise Unreadable("it is empty: there is no first row with the names of the columns")
        yield found
    finally:
        session.session.close()


class _Client(HTTPClient):
    """gspread's, asking wherever it is told to."""

    api = API

    def request(self, method: str, endpoint: str, *args: Any, **named: Any) -> requests.Response:
        """As there."""
        return super().request(method, endpoint.replace(API, self.api, 1), *args, **named)


def _client(credentials: Path, api: str) -> _Client:
    try:
        account = json.loads(credentials.read_text(encoding="utf-8"))
        client = gspread.service_account_from_dict(account, scopes=SCOPES, http_client=_Client)
    except (OSError, ValueError, TypeError, AttributeError, GoogleAuthError) as error:
        raise Unreadable("the credentials are not the key file of a service account") from error
    made = client.http_client
    assert isinstance(made, _Client)  # noqa: S101 -- narrows for the type checker
    made.api = api.rstrip("/")
    made.set_timeout(SECONDS)
    return made


Read = Callable[[int, int], Sequence[Row]]
Ask = Callable[[Callable[[], Sequence[Row]]], Awaitable[Sequence[Row]]]


async def _pages(read: Read, ask: Ask, rows: int) -> Pages:
    ends = [*range(1, rows, ROWS_ASKED_FOR), rows]
    for before, last in pairwise(ends):
        found = await ask(partial(read, before + 1, last))
        for start in range(0, len(found), PAGE):
            yield found[start : start + PAGE]


def _read(client: _Client, spreadsheet_id: str, name: str, first: int, last: int) -> list[Row]:
    """The rows from `first` to `last`, without the empty ones at the end."""
    asked = absolute_range_name(name, f"{first}:{last}")

    def values(rendering: Mapping[str, str]) -> list[list[Any]]:
        told = client.values_get(spreadsheet_id, asked, params={**rendering})
        rows: list[list[Any]] = told.get("values", [])
        return rows

    stored = values(_AS_STORED)
    if any(_is_number(cell) for row in stored for cell in row):
        rendered = values(_DATES_AS_TEXTS)
        if [*map(len, rendered)] != [*map(len, stored)]:
            raise Unreadable("it was changed while it was read; run the same again")
        stored = [[*map(_dated, *pair)] for pair in zip(stored, rendered, strict=True)]
    return [(first + n, tuple(cells)) for n, cells in enumerate(stored)]


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _dated(stored: Any, rendered: Any) -> Cell:
    """The date that a number is of which a text is shown."""
    if not _is_number(stored) or not isinstance(rendered, str):
        value: Cell = stored
        return value
    try:
        return moment_at(stored, DAY_ZERO)
    except ValueError:
        return Lost("is a time without a date")


async def _request(call: Callable[[], Result], *, pause: Pause, clock: Clock) -> Result:
    """What the API answers, asked again when it is busy or away."""
    for attempt in range(ATTEMPTS):
        try:
            return await asyncio.to_thread(call)
        except APIError as error:
            status = error.response.status_code
            if status != 429 and status < 500:
                raise Unreadable(_REFUSALS.get(status, f"the API refuses: {status}")) from error
            wait = _wished(error.response, clock)
        except (requests.RequestException, TransportError):
            wait = None
        except GoogleAuthError as error:
            if not error.retryable:
                raise Unreadable(_REFUSALS[401]) from error
            wait = None
        if attempt + 1 < ATTEMPTS:
            await pause(min(LONGEST_WAIT, 2.0**attempt if wait is None else wait))
    raise Unreadable("the API is busy or cannot be reached; try again later")


def _wished(response: requests.Response, clock: Clock) -> float | None:
    """How long the API wishes to be left alone: seconds, or until a date."""
    given = response.headers.get("Retry-After", "")
    if given.isdecimal():
        return float(given)
    try:
        return max(0.0, (parsedate_to_datetime(given) - clock()).total_seconds())
    except (ValueError, TypeError):
        return None
