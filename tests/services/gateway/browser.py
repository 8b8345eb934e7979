"""Debian's Chromium, which shows pages as people see them."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, async_playwright, expect

from libs.testing.polling import PATIENCE_SECONDS

CHROMIUM: Final = "chromium"
# It finds no network, and need not look for one.
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def open_page() -> AsyncIterator[Page]:
    """A page of a new browser. Skips the test where there is no Chromium."""
    path = shutil.which(CHROMIUM)
    if path is None:
        pytest.skip("needs Debian's package chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS])
        page = await browser.new_page(viewport={"width": 1200, "height": 1000})
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        expect.set_options(timeout=PATIENCE_SECONDS * 1000)
        try:
            yield page
        finally:
            await browser.close()


class Watch:
    """Records the hosts a page sends requests to, its errors, and what its policy forbade it."""

    def __init__(self, page: Page) -> None:
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        page.on("requestfinished", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text))
