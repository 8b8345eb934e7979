"""How long a request's head may be."""

import pytest

from tests.services.gateway.conftest import KEY, PAGE, Opener, Service

STATE = "/api/v1/dashboard/state"


@pytest.mark.parametrize("path", [STATE, "/ping", "/nowhere"])
async def test_an_address_that_is_too_long_is_refused(
    open_gateway: Opener, service: Service, path: str
) -> None:
    async with open_gateway(max_url_bytes=1000) as gateway:
        query = "x" * (1000 - len(path))
        headers = {"X-API-Key": KEY, "Origin": PAGE}
        fits = await gateway.get(f"{path}?{query}", headers=headers)
        over = await gateway.get(f"{path}?{query}y", headers=headers)

    assert fits.status_code != 414
    assert over.status_code == 414
    assert over.json() == {"detail": "The address is too long"}
    assert over.headers["access-control-allow-origin"] == PAGE
    assert len(service.asked) == (path == STATE)


async def test_headers_that_are_too_large_are_refused_in_sum(
    open_gateway: Opener, service: Service
) -> None:
    headers = {"X-API-Key": KEY} | {f"X-Some-{n}": "x" * 100 for n in range(20)}
    async with open_gateway(max_header_bytes=2048) as gateway:
        over = await gateway.get(STATE, headers=headers)
    async with open_gateway(max_header_bytes=4096) as gateway:
        fits = await gateway.get(STATE, headers=headers)

    assert over.status_code == 431
    assert over.json() == {"detail": "The request headers are too large"}
    assert fits.status_code == 200
    assert len(service.asked) == 1
