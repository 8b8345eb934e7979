"""Images that staff upload, and files of shops (spec shop §4.7)."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from libs.errors import Unavailable
from libs.files.files import FileTooLarge, QuotaExceeded, StoredFile
from libs.files.http import MAX_FILES, file_response, multipart_of
from libs.files.http import uploads as uploads_of
from libs.files.images import NotAnImage
from libs.files.store import FileSettings
from libs.http.auth import Principal, public
from libs.http.shapes import ErrorRow
from libs.security.data_keys import Subject
from services.shop.context import ORDERS, ApiContext, Shop

router = APIRouter(tags=["uploads"])

Caller = Annotated[Principal, Depends(ORDERS)]
"""Every member of the staff has this permission."""

FORM_BYTES: Final = 64 * 1024
"""Room for what a form has beside its files."""
MEBIBYTE: Final = 1024 * 1024

REFUSALS: Final[Mapping[type[Exception], ErrorRow]] = {
    NotAnImage: ErrorRow(400, text="Загрузите изображение: JPEG, PNG, GIF или WebP"),
    FileTooLarge: ErrorRow(413, text="Файл слишком большой"),
    QuotaExceeded: ErrorRow(507, text="Место для файлов магазина закончилось"),
}


class Uploaded(BaseModel):
    """A stored image. `size` is in bytes, as it is stored."""

    url: str
    original_name: str
    size: int


class UploadedImage(Uploaded):
    """The answer to one image."""

    message: str = "Изображение загружено"


class UploadedImages(BaseModel):
    """The answer to several images."""

    message: str = "Изображения загружены"
    images: list[Uploaded]


def longer_bodies(settings: FileSettings, *others: str) -> Mapping[str, int]:
    """The longest bodies of the routes that take files, in bytes; `others` take one file."""
    one = settings.max_file_bytes + FORM_BYTES
    return {
        **dict.fromkeys(("/api/upload/image", *others), one),
        "/api/upload/images": MAX_FILES * one,
    }


def url_of(name: str) -> str:
    """Where a file is delivered."""
    return f"/uploads/{name}"


@router.post("/api/upload/image", status_code=201, openapi_extra=multipart_of("file"))
async def upload_image(shop: Shop, caller: Caller, request: Request) -> UploadedImage:
    """Store an image; 400 it is none, 413 it is too large, 507 the shop's room is used up."""
    ((name, file),) = await _stored(shop, caller.tenant, request, "file", most=1)
    return UploadedImage(url=url_of(file.name), original_name=name, size=file.size)


@router.post("/api/upload/images", status_code=201, openapi_extra=multipart_of("files", many=True))
async def upload_images(shop: Shop, caller: Caller, request: Request) -> UploadedImages:
    """Store all images or none; the refusals are those of one image."""
    stored = await _stored(shop, caller.tenant, request, "files", most=MAX_FILES)
    images = [
        Uploaded(url=url_of(file.name), original_name=name, size=file.size) for name, file in stored
    ]
    return UploadedImages(images=images)


@router.get("/uploads/{name}", dependencies=[Depends(public)])
async def read(shop: Shop, request: Request, name: str) -> Response:
    """A file; knowing its random name is enough. Nothing in it runs in a browser.

    One that was sealed for a person is gone as soon as the person is forgotten.
    """
    file = await shop.files.find(name)
    key = None
    if file.sealed_for is not None:
        person = Subject(file.tenant, file.sealed_for)
        key = (await shop.vault.keys_of([person]))[person]
    return await file_response(request, shop.files, name, key=key)


async def _stored(
    shop: ApiContext, tenant: str, request: Request, field: str, *, most: int
) -> list[tuple[str, StoredFile]]:
    """The files of a form with the names that the client gave them, all or none."""
    stored: list[tuple[str, StoredFile]] = []
    try:
        async for upload in uploads_of(request, field, most=most):
            file = await shop.files.add_image(tenant, upload.name, upload.chunks)
            stored.append((upload.name, file))
    except Exception:
        for _, file in stored:
            with suppress(Unavailable):
                await shop.files.remove(tenant, file.name)
        raise
    return stored
