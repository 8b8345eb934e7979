"""Files are taken for what they are, or refused in one sentence."""

import gzip
import shutil
from pathlib import Path

import pytest

from tests.services.ingest.adapters.tables import book, csv, read, refusal


async def test_a_protected_workbook_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "secret.xlsx"
    path.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(5000))

    assert "without a password" in await refusal(path)


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b"uuid"), b"%PDF-1.7", b"\x89PNG\r\n\x1a\n"],
    ids=["gzip", "pdf", "png"],
)
async def test_other_kinds_of_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)

    assert "CSV and .xlsx can be imported" in await refusal(path)


async def test_a_directory_or_nothing_is_refused(tmp_path: Path) -> None:
    assert "is a directory" in await refusal(tmp_path)
    assert "cannot be read: No such file" in await refusal(tmp_path / "nowhere.csv")


async def test_the_kind_follows_from_the_content_not_from_the_name(tmp_path: Path) -> None:
    shutil.move(book(tmp_path, a=[["uuid"]]), tmp_path / "book.csv")

    assert await read(tmp_path / "book.csv") == {"a": [(0, ("uuid",))]}
    assert await read(csv(tmp_path, "uuid").rename(tmp_path / "text.xlsx")) == {
        "text": [(0, ("uuid",))]
    }
