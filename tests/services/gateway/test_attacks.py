"""The table of attacks on who is who: each row is tried, and each is refused alike.

Longer than most: the table is the test.
"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from httpx import ASGITransport, AsyncClient

from libs.errors import Unauthenticated
from libs.http.auth import TokenVerifier
from libs.security import refresh
from libs.security.passwords import Passwords, Verdict
from libs.security.tokens import INTERNAL, SigningKey
from services.gateway import bootstrap
from services.gateway.deps import Deps
from services.gateway.domain.person import Person
from services.gateway.domain.realm import Place, Realm, Role
from services.gateway.handlers.account import open_account
from tests.services.gateway.api.doorstep import ISSUER, Doorstep, access_token, bearer, doorstep
from tests.services.gateway.code_desk import some_address
from tests.services.gateway.conftest import Keys, Service, gateway_settings

STATE = "/api/v1/dashboard/state"
OTHER = SigningKey.generate()
NOW = datetime.now(UTC)
Forge: TypeAlias = Callable[[SigningKey], str]


def encoded(part: bytes | dict[str, Any]) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return said


def good(key: SigningKey, **different: Any) -> str:
    return access_token(key, ["scan:read"], **different)


def with_header(key: SigningKey, sign: SigningKey | None = None, **header: Any) -> str:
    """A token whose header says something else, signed again as a forger would."""
    head, claims, _ = good(key).split(".")
    told = f"{encoded(decoded(head) | header)}.{claims}"
    return f"{told}.{encoded((sign or OTHER).private.sign(told.encode()))}"


def with_claims(key: SigningKey, **changed: Any) -> str:
    """Another text under the old signature."""
    head, claims, signature = good(key).split(".")
    return f"{head}.{encoded(decoded(claims) | changed)}.{signature}"


def by_secret(key: SigningKey, secret: bytes) -> str:
    """HS256, with what everybody may read as the secret."""
    head, claims, _ = good(key).split(".")
    told = f"{encoded(decoded(head) | {'alg': 'HS256'})}.{claims}"
    return f"{told}.{encoded(hmac.digest(secret, told.encode(), sha256))}"


def unsigned(key: SigningKey, alg: str) -> str:
    head, claims, _ = good(key).split(".")
    return f"{encoded(decoded(head) | {'alg': alg})}.{claims}."


def pem(key: SigningKey) -> bytes:
    return key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def raw(key: SigningKey) -> bytes:
    return key.public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_in_token(key: SigningKey) -> str:
    x = {"kty": "OKP", "crv": "Ed25519", "x": encoded(raw(OTHER)), "kid": OTHER.kid}
    return with_header(key, kid=OTHER.kid, jwk=x)


FORGED: dict[str, Forge] = {
    "HS256 by the public key in PEM": lambda key: by_secret(key, pem(key)),
    "HS256 by the public key's bytes": lambda key: by_secret(key, raw(key)),
    "HS256 by nothing": lambda key: by_secret(key, b""),
    "no algorithm": lambda key: unsigned(key, "none"),
    "no algorithm, in capitals": lambda key: unsigned(key, "NONE"),
    "no signature": lambda key: good(key).rpartition(".")[0] + ".",
    "another audience": lambda key: good(key, audience="ingest"),
    "several audiences": lambda key: with_claims(key, aud=["tillstream", "ingest"]),
    "a pass of the gateway itself": lambda key: good(key, audience="ingest", typ=INTERNAL),
    "a pass that names the right audience": lambda key: good(key, typ=INTERNAL),
    "a type of its own": lambda key: good(key, typ="refresh"),
    "a refresh token": lambda _: refresh.issue(b"k" * 32, uuid4(), 1),
    "a kid that is a path": lambda key: with_header(key, kid="../../../../dev/null"),
    "a kid that is an address": lambda key: with_header(key, kid="http://127.0.0.1:1/jwks"),
    "a kid that is a query": lambda key: with_header(key, kid="' OR 1=1 --"),
    "a kid that is no text": lambda key: with_header(key, kid=["a"]),
    "the forger's key under our kid": lambda key: with_header(key, kid=key.kid),
    "the forger's key under its own kid": lambda key: with_header(key, kid=OTHER.kid),
    "the forger's key inside": key_in_token,
    "the forger's key at an address": lambda key: with_header(key, jku="http://127.0.0.1:1/"),
    "expired": lambda key: good(key, now=NOW - timedelta(days=1)),
    "of the future": lambda key: good(key, now=NOW + timedelta(days=1)),
    "of a foreign issuer": lambda key: good(key, issuer="somebody-else"),
    "of a foreign gateway": lambda _: good(OTHER),
    "more scopes written in": lambda key: with_claims(key, scope="scan:read scan:remove"),
    "another tenant written in": lambda key: with_claims(key, tenant="other"),
    "another person written in": lambda key: with_claims(key, sub=str(UUID(int=9))),
    "more time written in": lambda key: with_claims(key, exp=4_000_000_000),
    "no token at all": lambda _: "a.b.c",
    "endless": lambda _: "a" * 10_000,
}


@pytest.fixture
async def step(service: Service, keys: Keys) -> AsyncIterator[Doorstep]:
    async with doorstep(service, keys) as made:
        yield made


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("path", [STATE, "/scales/room", "/crm/room", "/kiosk/room"])
async def test_what_is_forged_opens_no_door_and_hears_no_reason(
    step: Doorstep, service: Service, name: str, path: str
) -> None:
    assert (await step.client.get(path, headers=bearer(step.token()))).status_code == 200
    nonsense = await step.client.get(path, headers=bearer("nonsense"))

    answer = await step.client.get(path, headers=bearer(FORGED[name](step.key)))

    assert answer.status_code == 401
    assert (answer.text, len(service.asked)) == (nonsense.text, 1)


@pytest.mark.parametrize("name", FORGED)
async def test_what_is_forged_opens_no_route_of_our_own(step: Doorstep, name: str) -> None:
    verifier: TokenVerifier = step.app.state.deps.verifier
    await verifier.principal(f"Bearer {step.token()}")

    with pytest.raises(Unauthenticated):
        await verifier.principal(f"Bearer {FORGED[name](step.key)}")


NO_PASSES: dict[str, Forge] = {
    "an access token": good,
    "an access token for the service": lambda key: good(key, audience="ingest"),
    "a pass for nobody": lambda key: good(key, typ=INTERNAL),
    "a pass for another service": lambda key: good(key, typ=INTERNAL, audience="crm"),
    "a pass of yesterday": lambda key: good(
        key, typ=INTERNAL, audience="ingest", now=NOW - timedelta(days=1)
    ),
    "a pass of the forger": lambda key: with_header(key, typ=INTERNAL),
}


@pytest.mark.parametrize("name", NO_PASSES)
async def test_a_service_believes_nothing_but_a_pass_meant_for_it(
    step: Doorstep, name: str
) -> None:
    public = {step.key.kid: step.key.public}
    service = TokenVerifier(audience="ingest", issuer=ISSUER, keys=public)
    passed = good(step.key, typ=INTERNAL, audience="ingest")
    assert (await service.principal(f"Bearer {passed}")).tenant == "demo"

    with pytest.raises(Unauthenticated):
        await service.principal(f"Bearer {NO_PASSES[name](step.key)}")


def test_every_row_of_the_table_is_a_token_of_its_own() -> None:
    key = SigningKey.generate()

    assert len({forge(key) for forge in FORGED.values()}) == len(FORGED)
    assert jwt.get_unverified_header(good(key))["alg"] == "EdDSA"


class Counted(Passwords):
    """Passwords that count how often somebody's, or nobody's, was checked."""

    def __init__(self) -> None:
        super().__init__()
        self.checked = 0

    async def verify(self, hashed: str, password: str) -> Verdict:
        self.checked += 1
        return await super().verify(hashed, password)

    async def verify_nobody(self, password: str) -> Verdict:
        self.checked += 1
        return await super().verify_nobody(password)


@pytest.fixture
async def deps(url: str) -> AsyncIterator[Deps]:
    settings = gateway_settings("http://127.0.0.1:1", database_url=url)
    async with bootstrap.open_deps(settings) as opened:
        yield opened


async def a_member(deps: Deps, realm: Realm, role: str, *, active: bool = True) -> str:
    """The e-mail address, and the user name, of somebody new."""
    email = f"anna.{uuid4().hex[:12]}@shop.example"
    person = Person(email=email, username=email.partition("@")[0])
    roles = [Role(Place(realm, deps.settings.people_tenant), role)]
    await open_account(
        deps.identity, person, password="correct horse", roles=roles, actor="x", active=active
    )
    return email


def form(email: str, password: str) -> dict[str, Any]:
    return {"data": {"username": email, "password": password}}


def username(email: str, password: str) -> dict[str, Any]:
    return {"json": {"username": email.partition("@")[0], "password": password}}


@pytest.mark.parametrize(
    ("path", "realm", "role", "said"),
    [
        ("/auth/login", Realm.SCALES, "user", form),
        ("/api/v1/auth/token", Realm.CRM, "ENGINEER", form),
        ("/api/v1/auth/login", Realm.KIOSK, "staff", username),
    ],
    ids=("scales", "crm", "kiosk"),
)
async def test_nobody_learns_who_exists_from_an_answer_or_from_the_work_it_takes(
    deps: Deps, path: str, realm: Realm, role: str, said: Callable[[str, str], dict[str, Any]]
) -> None:
    counted = Counted()
    watched = replace(deps, identity=replace(deps.identity, passwords=counted))
    elsewhere = Realm.CRM if realm == Realm.SCALES else Realm.SCALES
    tried = [
        (await a_member(deps, realm, role), "wrong password"),
        (f"nobody.{uuid4().hex[:12]}@shop.example", "correct horse"),
        (await a_member(deps, realm, role, active=False), "correct horse"),
        (await a_member(deps, elsewhere, "user" if elsewhere == Realm.SCALES else "ENGINEER"), "x"),
        ("no address", "correct horse"),
    ]
    transport = ASGITransport(bootstrap.create_app(watched), client=(some_address(), 5555))
    async with AsyncClient(transport=transport, base_url="http://gateway") as client:
        seen, work = set(), []
        for email, password in tried:
            before = counted.checked
            answer = await client.post(path, **said(email, password))
            names = tuple(sorted(name for name in answer.headers if name != "x-process-time"))
            body = {key: v for key, v in answer.json().items() if key != "request_id"}
            seen.add((answer.status_code, json.dumps(body), names))
            work.append(counted.checked - before)

    counted.close()
    assert len(seen) == 1
    assert next(iter(seen))[0] == 401
    assert work == [1] * len(tried)
