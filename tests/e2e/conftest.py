"""One house for all tests that can share it: each has a tenant and a key of its own there."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.house import House, open_house, own_database

EMAIL, PASSWORD = "anna@shop.example", "correct horse battery"


@pytest.fixture(scope="session")
def house(
    postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Gateway and two processes of ingest, with one account.

    Streams beat fast, and `/auth/verify` answers.
    """
    password: Path = tmp_path_factory.mktemp("house") / "password"
    password.write_text(PASSWORD)
    overrides = {
        "GATEWAY_ADMIN_PASSWORD_FILE": str(password),
        "GATEWAY_VERIFY_NETWORKS": "127.0.0.1/32",
        "INGEST_STREAM_HEARTBEAT_SECONDS": "0.3",
    }
    with (
        own_database(postgres_url) as database,
        open_house(database, kafka_bootstrap, **overrides) as it,
    ):
        who = ("--email", EMAIL, "--realm", "crm", "--tenant", "demo", "--role", "ADMIN")
        it.run("services.gateway", "create-admin", *who)
        yield it


@pytest.fixture
async def client(house: House) -> AsyncIterator[aiohttp.ClientSession]:
    """A scanner, or a dashboard, of a tenant of its own at the gateway."""
    async with house.client() as session:
        yield session
