"""Routes of the documentation: `/docs` and `/openapi.json`, of one door or, at the root, of all."""

from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse

from libs.http.auth import public
from services.gateway.context import Gateway
from services.gateway.doors.api.local_routes import door_of
from services.gateway.doors.domain.door import Door
from services.gateway.doors.domain.doors import KIOSK, SCAN
from services.gateway.proxy.api.docs_page import POLICY, door_page, index_page
from services.gateway.proxy.api.documents import Documents

router = APIRouter(dependencies=[Depends(public)], include_in_schema=False)

CACHE_HEADERS: Final = {"Cache-Control": "public, max-age=60"}
PAGE_HEADERS: Final = {**CACHE_HEADERS, "Content-Security-Policy": POLICY}


@router.get("/docs", tags=["docs"])
@router.get("/redoc", tags=["docs"])
async def page(request: Request, gateway: Gateway) -> HTMLResponse:
    """The list of doors, or the operations of one door, as a page."""
    door = _door(gateway.doors, door_of(request.scope))
    if door is None:
        return HTMLResponse(index_page([one.name for one in gateway.doors]), headers=PAGE_HEADERS)
    base = _base(request)
    document = await _documents(request).of(door, base)
    return HTMLResponse(door_page(document, base=base), headers=PAGE_HEADERS)


@router.get("/openapi.json", tags=["docs"])
async def document(request: Request, gateway: Gateway) -> JSONResponse:
    """The OpenAPI document of the door; at the root that of the scan logger."""
    return await _document(request, gateway.doors, SCAN.name)


@router.get("/api/v1/openapi.json", tags=["kiosk"])
async def kiosk_document(request: Request, gateway: Gateway) -> JSONResponse:
    """The OpenAPI document at the path of the kiosks' clients (spec kiosk §1)."""
    return await _document(request, gateway.doors, KIOSK.name)


async def _document(request: Request, doors: tuple[Door, ...], otherwise: str) -> JSONResponse:
    door = _door(doors, door_of(request.scope) or otherwise)
    content: Any = {} if door is None else await _documents(request).of(door, _base(request))
    return JSONResponse(content, 404 if door is None else 200, headers=CACHE_HEADERS)


def _door(doors: tuple[Door, ...], name: str | None) -> Door | None:
    return next((door for door in doors if door.name == name), None)


def _base(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _documents(request: Request) -> Documents:
    documents: Documents = request.app.state.documents
    return documents
