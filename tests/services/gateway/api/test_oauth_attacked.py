"""Codes and tokens in the wrong hands: guessed, used twice, by another client, forged."""

import asyncio
from typing import Any

import jwt
import pytest
from httpx import AsyncClient

from libs.security import tokens
from services.gateway.adapters.access_tokens import AUDIENCE
from services.gateway.deps import Deps
from services.gateway.domain.device_grant import LIFETIME
from tests.services.gateway.api.device import (
    ASK,
    BRIDGE,
    KIOSK,
    answered,
    asking,
    error_of,
    later,
)
from tests.services.gateway.api.inside import (
    KIOSKS,
    STAFF,
    inside,
    somebody,
)


def forged(deps: Deps, bearer: str) -> dict[str, str]:
    """Tokens that look nearly right, and what is wrong with each."""
    claims = jwt.decode(bearer, options={"verify_signature": False})
    header = jwt.get_unverified_header(bearer)
    key, other = deps.signing_keys.current, tokens.SigningKey.generate()

    def signed(by: Any, alg: str = "EdDSA", head: Any = None, **different: Any) -> str:
        said = (head or header) | {"alg": alg}
        return jwt.encode(claims | different, by, algorithm=alg, headers=said)

    public = next(iter(tokens.jwks(deps.signing_keys)["keys"]))["x"] + "A" * 32
    return {
        "alg none": jwt.encode(claims, "", algorithm="none", headers=header | {"alg": "none"}),
        "alg confusion": signed(public, "HS256"),
        "another key under our kid": signed(other.private),
        "a kid of nobody": signed(other.private, head=header | {"kid": other.kid}),
        "a kid that is a path": signed(key.private, head=header | {"kid": "../../etc/passwd"}),
        "no kid": signed(key.private, head={"typ": "access"}),
        "for a service": signed(key.private, aud="ingest"),
        "for several": signed(key.private, aud=[AUDIENCE, "ingest"]),
        "of another issuer": signed(key.private, iss="somebody"),
        "an internal pass": signed(key.private, head=header | {"typ": "internal"}),
        "expired": signed(key.private, exp=claims["iat"] - 1),
        "from the future": signed(key.private, iat=claims["iat"] + 3600),
        "more scopes, old signature": _reworded(bearer, signed(other.private, scope="keys:*")),
    }


def _reworded(bearer: str, other: str) -> str:
    head, _, signature = bearer.split(".")
    return ".".join((head, other.split(".")[1], signature))


async def test_codes_are_kept_as_digests_and_what_a_device_says_sealed(
    deps: Deps, client: AsyncClient
) -> None:
    device = await asking(client, device_name="hall-of-fame")

    rows = str([dict(row) for row in await deps.pool.fetch("SELECT * FROM device_grant")])

    for secret in (device.device_code, device.user_code, device.user_code.replace("-", "")):
        assert secret not in rows
    assert "hall-of-fame" not in rows


async def test_a_device_code_works_once_whoever_shows_it_at_the_same_moment(
    client: AsyncClient, browser: AsyncClient, manager: str
) -> None:
    device = await asking(client)
    await answered(browser, device.user_code, manager)

    answers = await asyncio.gather(*(device.poll() for _ in range(4)))
    again = await device.poll()

    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    assert error_of(again) == (400, "invalid_grant")


async def test_a_code_that_ran_out_is_worth_nothing_even_with_a_late_yes(
    deps: Deps, client: AsyncClient, browser: AsyncClient, manager: str
) -> None:
    slow, forgotten = await asking(client), await asking(client)
    await answered(browser, slow.user_code, manager)
    for device in (slow, forgotten):
        await later(deps, device.device_code, LIFETIME)
    late = await answered(browser, forgotten.user_code, manager)

    assert error_of(await slow.poll()) == error_of(await forgotten.poll()) == (400, "expired_token")
    assert late.status_code == 422


async def test_nobody_guesses_a_device_code_or_uses_it_as_another_client(
    client: AsyncClient, browser: AsyncClient, manager: str
) -> None:
    device = await asking(client)
    await answered(browser, device.user_code, manager)

    for guess in ({"device_code": "x" * 43}, {"device_code": device.user_code}):
        assert error_of(await device.poll(**guess)) == (400, "invalid_grant")
    assert error_of(await device.poll(client_id=BRIDGE)) == (400, "invalid_grant")
    # And it was not used up by them.
    assert (await device.poll()).status_code == 200


async def test_whoever_keeps_guessing_is_told_to_come_back_later(
    client: AsyncClient, browser: AsyncClient, manager: str
) -> None:
    device = await asking(client)

    guesses = [await device.poll(device_code=f"{n:043}") for n in range(11)]

    assert error_of(guesses[9]) == (400, "invalid_grant")
    assert error_of(guesses[10]) == (429, "temporarily_unavailable")
    assert int(guesses[10].headers["Retry-After"]) >= 1
    assert error_of(await device.poll()) == (400, "authorization_pending")


async def test_one_address_does_not_fill_the_house_with_grants(client: AsyncClient) -> None:
    answers = [await client.post(ASK, data={"client_id": KIOSK}) for _ in range(11)]

    assert answers[9].status_code == 200
    assert error_of(answers[10]) == (429, "temporarily_unavailable")


async def test_a_refresh_token_counts_for_the_client_it_was_given_to(
    deps: Deps, client: AsyncClient, browser: AsyncClient, manager: str
) -> None:
    device = await asking(client)
    await answered(browser, device.user_code, manager)
    ours = (await device.poll()).json()["refresh_token"]
    anna = await somebody(deps, STAFF)
    annas, _ = await inside(deps, anna.account_id, KIOSKS)

    assert error_of(await device.refresh(ours, client_id=BRIDGE)) == (400, "invalid_grant")
    assert error_of(await device.refresh(annas.refresh_token)) == (400, "invalid_grant")
    # Neither was used up, nor ended, by who had no right to it.
    assert (await device.refresh(ours)).status_code == 200
    assert (await client.post("/api/v1/auth/refresh", json={})).status_code != 500


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/sessions"),
        ("DELETE", "/api/v1/sessions"),
        ("GET", "/api/v1/keys"),
        ("POST", "/api/v1/keys"),
        ("POST", "/api/v1/account/password"),
    ],
)
async def test_no_forged_token_opens_a_route_of_ours(
    deps: Deps, client: AsyncClient, browser: AsyncClient, manager: str, method: str, path: str
) -> None:
    device = await asking(client)
    await answered(browser, device.user_code, manager)
    pair = (await device.poll()).json()

    shown = forged(deps, pair["access_token"]) | {
        "a refresh token": pair["refresh_token"],
        "a device code": device.device_code,
        "nothing": "",
    }
    for what, token in shown.items():
        headers = {"Authorization": f"Bearer {token}"}
        answer = await client.request(method, path, headers=headers)
        assert answer.status_code == 401, what
    honest = {"Authorization": f"Bearer {pair['access_token']}"}
    assert (await client.request(method, path, headers=honest)).status_code != 401
