"""Google's Sheets API v4 as far as a reader needs it, on loopback: tokens, metadata, values.

It speaks the documented protocol: service accounts' signed requests for tokens, A1 ranges, values
cut at their empty ends, errors in Google's shape.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import CredentialsWithRegionalAccessBoundary as GoogleCredentials

from libs.testing.servers import http_server
from services.ingest.imports.domain.spreadsheet import DAY_ZERO

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
MAIL = "importer@example.iam"
AUDIENCE = "https://oauth2.googleapis.com/token"
"""Whatever the endpoint's address: that is how the library asks."""
SCOPE = "https://www.googleapis.com/auth/spreadsheets.readonly"
RANGE = re.compile(r"'((?:[^']|'')*)'!(\d+):(\d+)")
STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
LOOKUP = "_is_regional_access_boundary_lookup_required"
Grid = Sequence[Sequence[Any]]


@dataclass
class SheetsApi:
    """`sheets` by name, with `spare` empty rows below; `troubles` come before any answer."""

    sheets: Mapping[str, Grid] = field(default_factory=dict)
    spreadsheet_id: str = "1AbC-d_E"
    spare: int = 3
    troubles: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    tokens: int = 0
    url: str = ""

    def credentials(self, home: Path, **changes: str) -> Path:
        """The key file of a service account that this API knows."""
        pem = KEY.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        result = {
            "type": "service_account",
            "client_email": MAIL,
            "private_key": pem.decode(),
            "private_key_id": "1",
            "token_uri": f"{self.url}/token",
        }
        path = home / "account.json"
        path.write_text(json.dumps(result | changes))
        return path


@asynccontextmanager
async def serving(api: SheetsApi) -> AsyncIterator[SheetsApi]:
    async def metadata(request: web.Request) -> web.Response:
        return _guarded(api, request) or web.json_response(_metadata(api))

    async def values(request: web.Request) -> web.Response:
        return _guarded(api, request) or _values(api, request)

    async def token(request: web.Request) -> web.Response:
        return _token(api, await request.post())

    app = web.Application()
    app.router.add_post("/token", token)
    app.router.add_get("/v4/spreadsheets/{id}", metadata)
    app.router.add_get("/v4/spreadsheets/{id}/values/{range}", values)
    # The library would ask Google itself where the account may be used, in the background.
    with patch.object(GoogleCredentials, LOOKUP, return_value=False):
        async with http_server(app) as api.url:
            yield api


def _token(api: SheetsApi, form: Mapping[str, Any]) -> web.Response:
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    try:
        claims = jwt.decode(str(form["assertion"]), KEY.public_key(), ["RS256"], audience=AUDIENCE)
        known = claims["iss"] == MAIL and claims["scope"] == SCOPE
    except jwt.InvalidTokenError:
        known = False
    if not known:
        return web.json_response({"error": "invalid_grant"}, status=400)
    api.tokens += 1
    return web.json_response(
        {"access_token": f"token-{api.tokens}", "expires_in": 3600, "token_type": "Bearer"}
    )


def _guarded(api: SheetsApi, request: web.Request) -> web.Response | None:
    api.requested.append(unquote(request.path_qs))
    if request.headers.get("Authorization") != f"Bearer token-{api.tokens}":
        return _refusal(401)
    if api.troubles:
        status, headers = api.troubles.pop(0)
        return _refusal(status, headers)
    return None if request.match_info["id"] == api.spreadsheet_id else _refusal(404)


def _metadata(api: SheetsApi) -> dict[str, Any]:
    sheets: list[dict[str, Any]] = [
        {
            "properties": {
                "sheetId": number,
                "title": name,
                "index": number,
                "sheetType": "GRID",
                "gridProperties": {"rowCount": len(grid) + api.spare, "columnCount": 26},
            }
        }
        for number, (name, grid) in enumerate(api.sheets.items())
    ]
    chart = {"sheetId": 99, "title": "raw_log_chart", "index": 99, "sheetType": "OBJECT"}
    return {"spreadsheetId": api.spreadsheet_id, "sheets": [*sheets, {"properties": chart}]}


def _values(api: SheetsApi, request: web.Request) -> web.Response:
    requested = RANGE.fullmatch(request.match_info["range"])
    if requested is None or (grid := api.sheets.get(requested[1].replace("''", "'"))) is None:
        return _refusal(400)
    first, last = int(requested[2]), int(requested[3])
    if last > len(grid) + api.spare:
        return _refusal(400)
    render = request.query.get("valueRenderOption", "FORMATTED_VALUE")
    dates = request.query.get("dateTimeRenderOption", "SERIAL_NUMBER")
    rows = [[_rendered(cell, render, dates) for cell in row] for row in grid[first - 1 : last]]
    answer: dict[str, Any] = {"range": requested[0], "majorDimension": "ROWS"}
    if cut := _cut([_cut(row) for row in rows]):
        answer["values"] = cut
    return web.json_response(answer)


def _rendered(cell: Any, render: str, dates: str) -> Any:
    if isinstance(cell, datetime):
        if (render, dates) == ("UNFORMATTED_VALUE", "SERIAL_NUMBER"):
            return (cell - DAY_ZERO) / timedelta(days=1)
        return f"{cell:%d.%m.%Y}"
    return cell if render == "UNFORMATTED_VALUE" or isinstance(cell, str) else f"{cell:.2g}"


def _cut(cells: list[Any]) -> list[Any]:
    while cells and cells[-1] in ("", []):
        cells = cells[:-1]
    return cells


def _refusal(status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    error = {"code": status, "message": "said by the fake", "status": STATUS[status]}
    return web.json_response({"error": error}, status=status, headers=headers)
