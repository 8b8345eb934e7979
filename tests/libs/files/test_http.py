"""Uploads over HTTP, and files as responses in which nothing can run."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from httpx import AsyncClient
from pydantic import BaseModel

from libs.files.files import FileKey, Files
from libs.files.http import (
    MAX_FILES,
    REFUSALS,
    file_response,
    form_with_file,
    multipart_of,
    uploads,
)
from libs.files.store import ObjectFolder
from libs.http.app import create_app
from libs.http.auth import public
from libs.http.shapes import DETAIL
from libs.security.data_keys import DataKey, Subject
from libs.testing.callers import client_of
from libs.testing.polling import PATIENCE_SECONDS
from tests.libs.files.pictures import decoded, encoded, hostile, large

KEY = DataKey(Subject("demo", "anna"), b"k" * 32)
BOUNDARY = "0123456789"
HEAD = b'Content-Disposition: form-data; name="file"; filename="a.png"'

router = APIRouter(dependencies=[Depends(public)])


async def running(request: Request) -> Files:
    """The files of the app."""
    files: Files = request.app.state.deps.files
    return files


Store = Annotated[Files, Depends(running)]


@router.post("/image", status_code=201, openapi_extra=multipart_of("file"))
async def upload_image(request: Request, files: Store) -> list[dict[str, Any]]:
    """Store the images of a form."""
    stored = []
    async for upload in uploads(request, "file"):
        file = await files.add_image("demo", upload.name, upload.chunks)
        stored.append({"name": upload.name, "url": f"/uploads/{file.name}", "size": file.size})
    return stored


class Caption(BaseModel):
    """The other fields of a form."""

    title: str
    size: int = 0


@router.post("/captioned", openapi_extra=multipart_of("file", fields=Caption))
async def upload_with_caption(request: Request) -> dict[str, Any]:
    """Read an image with a caption."""
    upload, caption = await form_with_file(request, "file", Caption)
    data = b"".join([chunk async for chunk in upload.chunks])
    return {"name": upload.name, "bytes": len(data), **caption.model_dump()}


@router.post("/sealed")
async def upload_sealed(request: Request, files: Store) -> list[str]:
    """Store a private image."""
    seal = ("anna", KEY)
    return [
        (await files.add_image("demo", one.name, one.chunks, seal=seal)).name
        async for one in uploads(request, "file", most=1)
    ]


@router.get("/uploads/{name}")
async def show_image(request: Request, name: str, files: Store, private: bool = False) -> Response:
    """An image."""
    key: FileKey | None = KEY if private else None
    return await file_response(request, files, name, key=key)


@pytest.fixture
def app(files: Files) -> FastAPI:
    """An app with these routes."""
    return create_app(
        title="bakery",
        routers=(router,),
        deps=SimpleNamespace(files=files),
        checks={},
        problem_shape=DETAIL.with_rows(REFUSALS),
        max_body_bytes=1024,
        longer_bodies={"/image": 300_000, "/sealed": 300_000, "/captioned": 300_000},
    )


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client of the app."""
    async with client_of(app) as opened:
        yield opened


def form(*files: tuple[str, bytes], field: str = "file") -> Any:
    """What httpx sends as a form."""
    return [(field, (name, data, "image/png")) for name, data in files]


def written(parts: Sequence[bytes], *, end: bytes = b"--") -> bytes:
    """A form by hand."""
    return b"".join(b"--0123456789\r\n" + part for part in parts) + b"--0123456789" + end + b"\r\n"


def part(head: bytes, data: bytes = b"") -> bytes:
    return head + b"\r\n\r\n" + data + b"\r\n"


async def test_an_image_is_uploaded_and_served(client: AsyncClient) -> None:
    answer = await client.post("/image", files=form(("Rose ü.png", encoded("png"))))
    assert answer.status_code == 201
    [shown] = answer.json()
    image = await client.get(shown["url"])

    assert (shown["name"], shown["size"]) == ("Rose ü.png", len(image.content))
    assert decoded(image.content).width == 64
    headers = image.headers
    assert headers["content-type"] == "image/png"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].endswith("sandbox")
    assert headers["content-disposition"].startswith("inline; filename=")
    assert headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_several_images_and_other_fields_are_read_one_after_the_other(
    client: AsyncClient,
) -> None:
    images = form(("a.png", encoded("png")), ("b.jpg", encoded("jpg")))
    others = form(("c.webp", encoded("webp")), field="other")
    answer = await client.post("/image", files=images + others, data={"comment": "x"})

    assert [one["name"] for one in answer.json()] == ["a.png", "b.jpg"]


async def test_fields_are_read_before_and_after_the_only_file(client: AsyncClient) -> None:
    title = part(b'Content-Disposition: form-data; name="title"', "Rose ü".encode())
    size = part(b'Content-Disposition: form-data; name="size"', b"3")
    file = part(HEAD, b"image" * 20_000)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}

    answers = [
        await client.post("/captioned", content=written(parts), headers=headers)
        for parts in ([title, file, size], [file, size], [file, title, file], [title, size])
    ]

    assert answers[0].json() == {"name": "a.png", "bytes": 100_000, "title": "Rose ü", "size": 3}
    assert [one.status_code for one in answers] == [200, 422, 413, 422]


async def test_a_form_is_documented_with_its_file_and_fields() -> None:
    content = multipart_of("file", fields=Caption)["requestBody"]["content"]
    schema = content["multipart/form-data"]["schema"]

    assert schema["required"] == ["file", "title"]
    assert {*schema["properties"]} == {"file", "title", "size"}


@pytest.mark.parametrize("name", [name for name in hostile() if len(hostile()[name]) < 250_000])
async def test_a_hostile_file_is_refused_with_its_reason(
    client: AsyncClient, files: Files, name: str
) -> None:
    answer = await client.post("/image", files=form((name, hostile()[name])))

    assert answer.status_code in (400, 413)
    assert answer.json()["detail"]
    assert (await files.usage("demo")).files == 0


@pytest.mark.parametrize(
    ("sent", "status", "detail"),
    [
        ({"files": form(("a.png", b"\x89PNG\r\n\x1a\n" + b"x" * 20_000))}, 413, "too large"),
        ({"files": form(("a.png", encoded("jpg")))}, 400, "but it is .jpg"),
        ({"files": form(("a.exe", encoded("jpg")))}, 400, "Only images"),
        ({"files": form(("a.png", encoded("png")), field="picture")}, 422, "Field required"),
        ({"data": {"file": "no file"}}, 422, "Field required"),
        ({"json": {"file": "no file"}}, 422, "Field required"),
        ({"files": form(*[("a.png", b"x" * 299_000)])}, 413, ""),
        ({"files": form(*[("a.png", b"x" * 301_000)])}, 413, ""),
    ],
    ids=range(8),
)
async def test_a_refusal_says_why(client: AsyncClient, sent: Any, status: int, detail: str) -> None:
    answer = await client.post("/image", **sent)
    assert (answer.status_code, detail in answer.text) == (status, True)


async def test_a_full_quota_is_507_with_figures(client: AsyncClient) -> None:
    answers = [await client.post("/image", files=form(("a.jpg", large()))) for _ in range(9)]

    statuses = [answer.status_code for answer in answers]
    assert statuses == sorted(statuses)
    assert {*statuses} == {201, 507}
    assert "of 19 KiB" in answers[-1].json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        written([part(HEAD)], end=b""),
        written([part(HEAD)])[:-9],
        written([part(b"Content-Disposition\0: x")]),
        written([part(b"A: " + b"x" * 100_000)]),
        written([part(b"\r\n".join(b"A: x" for _ in range(5000)))]),
    ],
    ids=range(7),
)
async def test_a_malformed_form_is_refused(client: AsyncClient, body: bytes) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = await client.post("/image", content=body, headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize("kind", ["multipart/form-data", "text/plain", "", "x" * 900])
async def test_a_body_of_another_kind_is_refused(client: AsyncClient, kind: str) -> None:
    answer = await client.post("/image", content=b"x", headers={"Content-Type": kind})
    assert answer.status_code == 422


@pytest.mark.parametrize("path", ["/image", "/sealed"])
async def test_only_so_many_files_are_taken(client: AsyncClient, path: str) -> None:
    most = MAX_FILES if path == "/image" else 1
    tiny = encoded("jpg", decoded(encoded("jpg")).resize(0.1))
    answer = await client.post(path, files=form(*[("a.jpg", tiny)] * (most + 1)))
    assert (answer.status_code, f"At most {most}" in answer.text) == (413, True)


async def test_the_bytes_are_refused_while_they_arrive(app: FastAPI) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield written([part(HEAD)], end=b"")[: -len(BOUNDARY) - 6]
        while True:
            sent += 1
            yield b"x" * 1000

    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    async with client_of(app) as client, asyncio.timeout(PATIENCE_SECONDS):
        answer = await client.post("/image", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert sent == 11


@pytest.fixture
async def url(client: AsyncClient) -> str:
    """The URL of an image."""
    answer = await client.post("/image", files=form(("a.png", encoded("png"))))
    return str(answer.json()[0]["url"])


async def test_an_image_that_the_client_has_is_not_sent_again(
    client: AsyncClient, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = (await client.get(url)).headers["etag"]
    monkeypatch.setattr(ObjectFolder, "get", None)
    again = await client.get(url, headers={"If-None-Match": tag})

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert again.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize(
    ("given", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=5-", 5, None),
        ("bytes=-7", -7, None),
        ("bytes=5-999999", 5, None),
        ("bytes=-999999", 0, None),
    ],
)
async def test_a_range_is_answered_as_such(
    client: AsyncClient, url: str, given: str, start: int, end: int | None, private: bool
) -> None:
    if private:
        name = (await client.post("/sealed", files=form(("a.png", encoded("png"))))).json()[0]
        url = f"/uploads/{name}?private=true"
    whole = await client.get(url)
    answer = await client.get(url, headers={"Range": given, "If-Range": whole.headers["etag"]})

    size = len(whole.content)
    first = start if start >= 0 else size + start
    assert answer.status_code == 206
    assert answer.content == whole.content[start:end]
    last = first + len(answer.content) - 1
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Range": "bytes=999999-"}, 416),
        ({"Range": "bytes=-0"}, 416),
        ({"Range": "bytes=5-2"}, 200),
        ({"Range": "bytes=0-1,3-4"}, 200),
        ({"Range": "lines=0-1"}, 200),
        ({"Range": "bytes=-"}, 200),
        ({"Range": "bytes=" + "9" * 5000 + "-"}, 200),
        ({"Range": "bytes=0-1", "If-Range": '"other"'}, 200),
    ],
    ids=range(8),
)
async def test_other_ranges_are_the_whole_image_or_none_of_it(
    client: AsyncClient, url: str, headers: dict[str, str], status: int
) -> None:
    answer = await client.get(url, headers=headers)
    assert answer.status_code == status
    assert status == 200 or answer.headers["content-range"].startswith("bytes */")


async def test_a_private_image_needs_its_key_and_is_not_cached(client: AsyncClient) -> None:
    [name] = (await client.post("/sealed", files=form(("a.png", encoded("png"))))).json()

    assert (await client.get(f"/uploads/{name}")).status_code == 404
    image = await client.get(f"/uploads/{name}?private=true")
    assert decoded(image.content).width == 64
    assert image.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("name", ["nothing.png", "..%2fsecret", "%00", "a" * 5000, "'; DROP"])
async def test_an_unknown_name_is_404(client: AsyncClient, name: str) -> None:
    assert (await client.get(f"/uploads/{name}")).status_code == 404


async def test_a_document_of_the_api_shows_the_form(client: AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    body = document["paths"]["/image"]["post"]["requestBody"]["content"]
    assert "file" in body["multipart/form-data"]["schema"]["properties"]
