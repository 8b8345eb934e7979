"""Files over HTTP: uploads as they arrive, and responses in which nothing can run.

Uploads are not parsed by FastAPI, which would store them first and check them afterwards.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeVar

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from libs.files.files import FileKey, Files, FileTooLarge, QuotaExceeded, StoredFile
from libs.files.images import NotAnImage
from libs.http.conditional import ETAG, not_modified, strong_tag
from libs.http.shapes import ErrorRow, MakeRow


def _row(status: int, error: Exception, _: Mapping[str, Any]) -> ErrorRow:
    return ErrorRow(status, text=str(error))


REFUSALS: Final[Mapping[type[Exception], ErrorRow | MakeRow]] = {
    NotAnImage: partial(_row, HTTPStatus.BAD_REQUEST),
    FileTooLarge: partial(_row, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    QuotaExceeded: partial(_row, HTTPStatus.INSUFFICIENT_STORAGE),
}
"""Rows for the shape of a service's refusals: see `ErrorShape.with_rows`."""

MAX_FILES: Final = 20
MAX_NAME: Final = 255
CLOSED: Final = "default-src 'none'; frame-ancestors 'none'; sandbox"

Fields = TypeVar("Fields", bound=BaseModel)

_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def multipart_of(
    name: str, *, many: bool = False, fields: type[BaseModel] | None = None
) -> dict[str, Any]:
    """What a route that reads `uploads` is declared with: `openapi_extra=multipart_of("file")`.

    `fields` are those of the form beside the files, if it has any.
    """
    file = {"type": "string", "format": "binary"}
    shown = {"type": "array", "items": file} if many else file
    others = {} if fields is None else fields.model_json_schema()
    schema = {
        "type": "object",
        "required": [name, *others.get("required", ())],
        "properties": {name: shown, **others.get("properties", {})},
    }
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }


@dataclass(slots=True)
class Upload:
    """A file of a form: the name that the client gave it, and its bytes as they arrive."""

    name: str
    chunks: AsyncIterator[bytes]


async def uploads(
    request: Request, name: str, *, most: int = MAX_FILES, texts: dict[str, str] | None = None
) -> AsyncIterator[Upload]:
    """The files of a form's field, one after the other: take the bytes of each before the next.

    The form's fields without a file are added to `texts`. The request may have as many bytes as the
    app allows (`longer_bodies`). Raises RequestValidationError without a form or a file,
    HTTPException with 400 for a malformed form, with 413 for more than `most` files.
    """
    events = _form_events(request, name)
    count = 0
    async for event in events:
        if not isinstance(event, _Part):
            continue
        if event.file_name is None and texts is not None:
            texts[event.name] = (await _joined(_until_end(events))).decode(errors="replace")
        if event.name != name or event.file_name is None:
            continue
        count += 1
        if count > most:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {most} files")
        chunks = _until_end(events)
        yield Upload(event.file_name, chunks)
        async for _ in chunks:
            continue
    if not count:
        raise _missing(name)


async def form_with_file(
    request: Request, name: str, fields: type[Fields]
) -> tuple[Upload, Fields]:
    """The one file of a form, and its other fields, which may follow the file: so it is in memory.

    Raises as `uploads`, and RequestValidationError for wrong fields.
    """
    texts: dict[str, str] = {}
    reading = uploads(request, name, most=1, texts=texts)
    ((file_name, data),) = [(one.name, await _joined(one.chunks)) async for one in reading]
    try:
        return Upload(file_name, _once(data)), fields.model_validate(texts)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        raise RequestValidationError(faults) from error


async def file_response(
    request: Request, files: Files, name: str, *, key: FileKey | None = None
) -> Response:
    """A file as the response to GET, whole or one range of it. Raises NoSuchFile.

    The client may cache it for ever, since a name never means other bytes; a sealed file is not
    cached. Nothing in it runs, whatever a browser takes it for.
    """
    file = await files.find(name)
    tag, headers = strong_tag(file.sha256), _headers(file)
    if (unchanged := not_modified(request, tag, headers)) is not None:
        return unchanged
    headers[ETAG] = tag
    sealed = file.sealed_for is not None
    data = await files.read(file, key=key) if sealed else b""
    size = len(data) if sealed else file.size
    wanted = _range(request, tag, size)
    if wanted is None:
        start, end, status = 0, size, HTTPStatus.OK
    elif wanted.start >= size:
        unsatisfiable = {**headers, "Content-Range": f"bytes */{size}"}
        return Response(
            status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=unsatisfiable
        )
    else:
        start, end, status = wanted.start, wanted.stop, HTTPStatus.PARTIAL_CONTENT
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    content = data[start:end] if sealed else await files.read(file, start, end)
    return Response(content, status, headers, media_type=file.media_type)


def _headers(file: StoredFile) -> dict[str, str]:
    cached = "private, no-store" if file.sealed_for else "public, max-age=31536000, immutable"
    return {
        "Accept-Ranges": "bytes",
        "Cache-Control": cached,
        "Content-Disposition": f'inline; filename="{file.name}"',
        "Content-Security-Policy": CLOSED,
        # Pages of other origins show these images.
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Content-Type-Options": "nosniff",
    }


def _range(request: Request, tag: str, size: int) -> range | None:
    """The wanted bytes; None for all of them. Several ranges are not supported (RFC 9110 §14.2)."""
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or match[0] == "bytes=-":
        return None
    if request.headers.get("If-Range", tag) != tag:
        return None
    first, last = match[1], match[2]
    if not first:
        return range(max(0, size - int(last)), size) if int(last) else range(size, size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, size) if last else size)


@dataclass(slots=True)
class _Part:
    """The head of a part."""

    name: str = ""
    file_name: str | None = None


class _End:
    """The end of a part."""


async def _until_end(events: AsyncIterator["_Part | bytes | _End"]) -> AsyncIterator[bytes]:
    async for event in events:
        if not isinstance(event, bytes):
            return
        yield event


async def _joined(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _form_events(request: Request, name: str) -> AsyncIterator["_Part | bytes | _End"]:
    """The parts of a form: the head, the bytes and the end of each."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise _missing(name)
    parsing = _Parsing()
    try:
        parser = MultipartParser(options[b"boundary"], parsing.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
            for event in parsing.taken():
                yield event
        if not parsing.is_complete:
            raise FormParserError
    except FormParserError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The form is malformed") from error


@dataclass(slots=True)
class _Parsing:
    """Turns the calls of the parser into events."""

    is_complete: bool = False
    _events: list["_Part | bytes | _End"] = field(default_factory=list)
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _name: bytes = b""
    _value: bytes = b""

    def callbacks(self) -> Any:
        """What the parser calls."""
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": self._on_head,
            "on_part_data": lambda data, start, end: self._events.append(bytes(data[start:end])),
            "on_part_end": lambda: self._events.append(_End()),
            "on_end": self._on_end,
        }

    def taken(self) -> list["_Part | bytes | _End"]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_head(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        file_name = options.get(b"filename")
        named = None if file_name is None else _text(file_name)
        self._events.append(_Part(_text(options.get(b"name", b"")), named))

    def _on_end(self) -> None:
        self.is_complete = True


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")[-MAX_NAME:]


def _missing(name: str) -> RequestValidationError:
    """As FastAPI refuses a form without a required file."""
    return RequestValidationError(
        [{"type": "missing", "loc": ("body", name), "msg": "Field required", "input": None}]
    )
