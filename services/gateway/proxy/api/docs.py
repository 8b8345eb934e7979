"""Documentation of the doors: Swagger UI at `/docs`, ReDoc at `/redoc`, `/openapi.json`.

At the root the pages list the doors. Their scripts are files of ours (of the package
`fastapi-offline`), so the policy of the pages allows no other scripts.
"""

from html import escape
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from libs.http.auth import public
from services.gateway.context import Gateway
from services.gateway.doors.api.local_routes import door_of
from services.gateway.doors.domain.door import Door
from services.gateway.doors.domain.doors import KIOSK, SCAN
from services.gateway.proxy.api.documents import Documents

router = APIRouter(tags=["docs"], dependencies=[Depends(public)], include_in_schema=False)

POLICY: Final = (
    "default-src 'none'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'; style-src 'self'"
)
"""Files of ours, and requests to this gateway."""
REDOC_POLICY: Final = f"{POLICY} 'unsafe-inline'"
"""ReDoc writes styles into its page."""
CACHE_HEADERS: Final = {"Cache-Control": "public, max-age=60"}

START: Final = "start.js"
START_SCRIPT: Final = """\
const url = document.currentScript.dataset.openapi;
const page = document.getElementById("page");
if (window.SwaggerUIBundle) {
  SwaggerUIBundle({
    url,
    domNode: page,
    deepLinking: true,
    displayRequestDuration: true,
    validatorUrl: null,
  });
} else {
  // Its search runs in a worker made of text, which the policy forbids.
  Redoc.init(url, { disableSearch: true }, page);
}
"""
FILES: Final = StaticFiles(packages=[("fastapi_offline", "static")])


@router.get("/docs")
async def swagger_ui(request: Request, gateway: Gateway) -> HTMLResponse:
    """Swagger UI of the door, which also sends requests; at the root the list of doors."""
    return _page(request, gateway.doors, "Swagger UI", "swagger-ui-bundle.js", POLICY)


@router.get("/redoc")
async def redoc(request: Request, gateway: Gateway) -> HTMLResponse:
    """ReDoc of the door; at the root the list of doors."""
    return _page(request, gateway.doors, "ReDoc", "redoc.standalone.js", REDOC_POLICY)


@router.get("/docs/{name}")
async def file(request: Request, name: str) -> Response:
    """A script, style or picture of the pages; 404 for any other name."""
    response = Response(START_SCRIPT, media_type="text/javascript")
    if name != START:
        response = await FILES.get_response(name, request.scope)
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response


@router.get("/openapi.json")
async def document(request: Request, gateway: Gateway) -> JSONResponse:
    """The OpenAPI document of the door; at the root that of the scan logger."""
    return await _document(request, gateway.doors, SCAN.name)


@router.get("/api/v1/openapi.json", tags=["kiosk"])
async def kiosk_document(request: Request, gateway: Gateway) -> JSONResponse:
    """The OpenAPI document at the path of the kiosks' clients (spec kiosk §1)."""
    return await _document(request, gateway.doors, KIOSK.name)


async def _document(request: Request, doors: tuple[Door, ...], otherwise: str) -> JSONResponse:
    door = _door(doors, door_of(request.scope) or otherwise)
    documents: Documents = request.app.state.documents
    content: Any = {} if door is None else await documents.of(door, _base(request))
    return JSONResponse(content, 404 if door is None else 200, headers=CACHE_HEADERS)


def _page(
    request: Request, doors: tuple[Door, ...], viewer: str, script: str, policy: str
) -> HTMLResponse:
    base = escape(_base(request))
    door = _door(doors, door_of(request.scope))
    if door is None:
        body = f"<h1>Tillstream</h1><ul>{''.join(map(_links, doors))}</ul>"
    else:
        body = (
            f'<div id="page"></div><script src="{base}/docs/{script}"></script>'
            f'<script src="{base}/docs/{START}" data-openapi="{base}/openapi.json"></script>'
        )
    title = escape(f"{viewer}: Tillstream {door.name if door else ''}".strip())
    content = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="{base}/docs/favicon.png">
<link rel="stylesheet" href="{base}/docs/swagger-ui.css">
</head>
<body>{body}</body>
</html>
"""
    return HTMLResponse(content, headers={**CACHE_HEADERS, "Content-Security-Policy": policy})


def _links(door: Door) -> str:
    name, prefix = escape(door.name), escape(door.prefix)
    return (
        f'<li>{name}: <a href="{prefix}/docs">Swagger UI</a>, '
        f'<a href="{prefix}/redoc">ReDoc</a>, <a href="{prefix}/openapi.json">openapi.json</a></li>'
    )


def _door(doors: tuple[Door, ...], name: str | None) -> Door | None:
    return next((door for door in doors if door.name == name), None)


def _base(request: Request) -> str:
    return str(request.scope.get("root_path", ""))
