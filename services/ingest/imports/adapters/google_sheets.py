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
from services.ingest.imports.adapters.table import (
    PAGE,
    Pages,
    Pause,
    Row,
    Unreadable,
    Worksheet,
    WorksheetChoice,
)
from services.ingest.imports.domain.spreadsheet import DAY_ZERO, Cell, Lost, moment_at

API: Final = SPREADSHEETS_API_V4_BASE_URL.removesuffix("/v4/spreadsheets")
SCOPES: Final = ("https://www.googleapis.com/auth/spreadsheets.readonly",)
REQUEST_ROWS: Final = 5 * PAGE
"""The rows of one request: the quota counts requests."""
ATTEMPTS: Final = 8
MAX_WAIT: Final = 120.0
TIMEOUTS: Final = (10.0, 120.0)
"""Seconds to connect, and to wait for a response."""

# Values as they are stored, not as the sheet shows them: barcodes keep their digits. Dates come as
# numbers; only the other rendering shows which numbers are dates.
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

Result = TypeVar("Result")


@asynccontextmanager
async def open_spreadsheet(
    spreadsheet_id: str,
    credentials: Path,
    choice: WorksheetChoice,
    *,
    api: str = API,
    pause: Pause = asyncio.sleep,
    clock: Clock = utc_now,
) -> AsyncIterator[Sequence[Worksheet]]:
    """The worksheets of `choice` that have rows.

    `credentials` is the key file of a service account, with the address of its tokens. `pause`
    sleeps as long as the API demands when its quota is exceeded. Raises Unreadable.
    """
    session = _client(credentials, api)
    send = partial(_request, pause=pause, clock=clock)
    try:
        metadata = await send(partial(session.fetch_sheet_metadata, spreadsheet_id))
        rows = {
            sheet["properties"]["title"]: sheet["properties"]["gridProperties"]["rowCount"]
            for sheet in metadata["sheets"]
            if "gridProperties" in sheet["properties"]
        }
        worksheets = []
        for name in choice.select(list(rows)):
            read = partial(_read, session, spreadsheet_id, name)
            if header := await send(partial(read, 1, 1)):
                pages = partial(_pages, read, send, rows[name])
                worksheets.append(
                    Worksheet(name=name, header=header[0][1], rows=rows[name] - 1, pages=pages)
                )
        if not worksheets:
            raise Unreadable("it is empty: there is no first row with the names of the columns")
        yield worksheets
    finally:
        session.session.close()


class _Client(HTTPClient):
    """gspread's client with another address of the API."""

    api = API

    def request(self, method: str, endpoint: str, *args: Any, **named: Any) -> requests.Response:
        """As `HTTPClient.request`."""
        return super().request(method, endpoint.replace(API, self.api, 1), *args, **named)


def _client(credentials: Path, api: str) -> _Client:
    try:
        account = json.loads(credentials.read_text(encoding="utf-8"))
        client = gspread.service_account_from_dict(account, scopes=SCOPES, http_client=_Client)
    except (OSError, ValueError, TypeError, AttributeError, GoogleAuthError) as error:
        raise Unreadable("the credentials are not the key file of a service account") from error
    session = client.http_client
    assert isinstance(session, _Client)  # noqa: S101 -- narrows for the type checker
    session.api = api.rstrip("/")
    session.set_timeout(TIMEOUTS)
    return session


Read = Callable[[int, int], Sequence[Row]]
Send = Callable[[Callable[[], Sequence[Row]]], Awaitable[Sequence[Row]]]


async def _pages(read: Read, send: Send, rows: int) -> Pages:
    ends = [*range(1, rows, REQUEST_ROWS), rows]
    for before, last in pairwise(ends):
        page = await send(partial(read, before + 1, last))
        for start in range(0, len(page), PAGE):
            yield page[start : start + PAGE]


def _read(client: _Client, spreadsheet_id: str, name: str, first: int, last: int) -> list[Row]:
    """The rows from `first` to `last`, without the empty ones at the end."""
    cells = absolute_range_name(name, f"{first}:{last}")

    def values(rendering: Mapping[str, str]) -> list[list[Any]]:
        response = client.values_get(spreadsheet_id, cells, params={**rendering})
        rows: list[list[Any]] = response.get("values", [])
        return rows

    stored = values(_AS_STORED)
    if any(_is_number(cell) for row in stored for cell in row):
        rendered = values(_DATES_AS_TEXTS)
        if [*map(len, rendered)] != [*map(len, stored)]:
            raise Unreadable("it was changed while it was read; run the same again")
        stored = [[*map(_dated, *pair)] for pair in zip(stored, rendered, strict=True)]
    return [(first + n, tuple(row)) for n, row in enumerate(stored)]


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _dated(stored: Any, rendered: Any) -> Cell:
    """The cell; a number that is shown as a text is a date."""
    if not _is_number(stored) or not isinstance(rendered, str):
        value: Cell = stored
        return value
    try:
        return moment_at(stored, DAY_ZERO)
    except ValueError:
        return Lost("is a time without a date")


async def _request(call: Callable[[], Result], *, pause: Pause, clock: Clock) -> Result:
    """The result of `call`, repeated while the API is busy or unavailable."""
    for attempt in range(ATTEMPTS):
        try:
            return await asyncio.to_thread(call)
        except APIError as error:
            status = error.response.status_code
            if status != 429 and status < 500:
                raise Unreadable(_REFUSALS.get(status, f"the API refuses: {status}")) from error
            wait = _retry_after(error.response, clock)
        except (requests.RequestException, TransportError):
            wait = None
        except GoogleAuthError as error:
            if not error.retryable:
                raise Unreadable(_REFUSALS[401]) from error
            wait = None
        if attempt + 1 < ATTEMPTS:
            await pause(min(MAX_WAIT, 2.0**attempt if wait is None else wait))
    raise Unreadable("the API is busy or cannot be reached; try again later")


def _retry_after(response: requests.Response, clock: Clock) -> float | None:
    """The seconds of the header Retry-After, which has a number or a date."""
    header = response.headers.get("Retry-After", "")
    if header.isdecimal():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - clock()).total_seconds())
    except (ValueError, TypeError):
        return None
