"""The table of attacks on who is who: each row is tried, and each is refused alike.

Longer than most: the table is the test.
"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from libs.security import refresh
from libs.security.tokens import INTERNAL, SigningKey
from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.realm import Realm
from services.gateway.administration.handlers.administration import deactivate
from tests.services.gateway.app import Keys, Service
from tests.services.gateway.doorstep import access_token, doorstep
from tests.services.gateway.harness import (
    MANAGER,
    PASSWORD,
    bearer,
    client_of,
    demo_on,
    harness_on,
    some_email,
    some_name,
)
from tests.services.gateway.identities import CHEAP, Counted

STATE = "/api/v1/dashboard/state"
OTHER = SigningKey.generate()
NOW = datetime.now(UTC)


def encoded(part: bytes | dict[str, Any]) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return said


def raw(key: SigningKey) -> bytes:
    return key.public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def pem(key: SigningKey) -> bytes:
    return key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Forger:
    """Makes tokens from good ones: with the gateway's key, without, or with one of their own."""

    def __init__(self, key: SigningKey, **claims: Any) -> None:
        self.key = key
        self.claims = claims

    def good(self, **different: Any) -> str:
        """As the gateway would sign it, but for what is `different`."""
        given: dict[str, Any] = {"key": self.key, "scopes": ["scan:read"]}
        return access_token(**given | self.claims | different)

    def text(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """What is signed, with other words in it; None leaves one out."""
        parts = zip(self.good().split(".")[:2], (header, claims), strict=True)
        said = [{**decoded(part), **changed} for part, changed in parts]
        return ".".join(
            encoded({name: one for name, one in part.items() if one is not None}) for part in said
        )

    def signed(self, by: SigningKey = OTHER, claims: Any = None, **header: Any) -> str:
        """Another header or other claims, signed again."""
        text = self.text(header, claims or {})
        return f"{text}.{encoded(by.private.sign(text.encode()))}"

    def reworded(self, **claims: Any) -> str:
        """Other claims under the old signature."""
        return f"{self.text({}, claims)}.{self.good().rpartition('.')[2]}"

    def unsigned(self, alg: str) -> str:
        return f"{self.text({'alg': alg}, {})}."

    def by_secret(self, secret: bytes) -> str:
        """HS256, with what everybody may read as the secret."""
        text = self.text({"alg": "HS256"}, {})
        return f"{text}.{encoded(hmac.digest(secret, text.encode(), sha256))}"

    def key_inside(self) -> str:
        x = {"kty": "OKP", "crv": "Ed25519", "x": encoded(raw(OTHER)), "kid": OTHER.kid}
        return self.signed(kid=OTHER.kid, jwk=x)


FORGED: dict[str, Callable[[Forger], str]] = {
    "HS256 by the public key in PEM": lambda by: by.by_secret(pem(by.key)),
    "HS256 by the public key's bytes": lambda by: by.by_secret(raw(by.key)),
    "HS256 by the public key as published": lambda by: by.by_secret(encoded(raw(by.key)).encode()),
    "HS256 by nothing": lambda by: by.by_secret(b""),
    "no algorithm": lambda by: by.unsigned("none"),
    "no algorithm, in capitals": lambda by: by.unsigned("NONE"),
    "no signature": lambda by: by.good().rpartition(".")[0] + ".",
    "another audience": lambda by: by.good(audience="ingest"),
    "several audiences": lambda by: by.signed(by.key, {"aud": ["tillstream", "ingest"]}),
    "several audiences written in": lambda by: by.reworded(aud=["tillstream", "ingest"]),
    "a pass of the gateway itself": lambda by: by.good(audience="ingest", typ=INTERNAL),
    "a pass that names the right audience": lambda by: by.good(typ=INTERNAL),
    "a type of its own": lambda by: by.good(typ="refresh"),
    "a refresh token": lambda _: refresh.issue(b"k" * 32, uuid4(), 1),
    "a device code": lambda _: "x" * 43,
    "no kid": lambda by: by.signed(by.key, kid=None),
    "a kid that is a path": lambda by: by.signed(kid="../../../../dev/null"),
    "a kid that is a path, by our key": lambda by: by.signed(by.key, kid="../../etc/passwd"),
    "a kid that is an address": lambda by: by.signed(kid="http://127.0.0.1:1/jwks"),
    "a kid that is a query": lambda by: by.signed(kid="' OR 1=1 --"),
    "a kid that is no text": lambda by: by.signed(kid=["a"]),
    "the forger's key under our kid": lambda by: by.signed(kid=by.key.kid),
    "the forger's key under its own kid": lambda by: by.signed(kid=OTHER.kid),
    "the forger's key inside": Forger.key_inside,
    "the forger's key at an address": lambda by: by.signed(jku="http://127.0.0.1:1/"),
    "expired": lambda by: by.good(now=NOW - timedelta(minutes=16)),
    "of the future": lambda by: by.good(now=NOW + timedelta(days=1)),
    "of a foreign issuer": lambda by: by.good(issuer="somebody-else"),
    "of a foreign gateway": lambda by: by.good(key=OTHER),
    "more scopes written in": lambda by: by.reworded(scope="scan:read scan:remove keys:*"),
    "another tenant written in": lambda by: by.reworded(tenant="other"),
    "another person written in": lambda by: by.reworded(sub=str(UUID(int=9))),
    "more time written in": lambda by: by.reworded(exp=4_000_000_000),
    "no token at all": lambda _: "a.b.c",
    "nothing": lambda _: "",
    "endless": lambda _: "a" * 10_000,
}


@pytest.mark.parametrize("path", [STATE, "/scales/room", "/crm/room", "/kiosk/room"])
async def test_no_forged_token_opens_a_door(service: Service, keys: Keys, path: str) -> None:
    async with doorstep(service, keys) as step:
        forger = Forger(step.key)
        assert (await step.client.get(path, headers=bearer(forger.good()))).status_code == 200
        nonsense = await step.client.get(path, headers=bearer("nonsense"))

        for name, forge in FORGED.items():
            answer = await step.client.get(path, headers=bearer(forge(forger)))

            assert (answer.status_code, len(service.requests)) == (401, 1), name
            assert answer.text == nonsense.text or name == "nothing", name


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/sessions"),
        ("DELETE", "/api/v1/sessions"),
        ("DELETE", "/api/v1/sessions/0198c5a0-0000-7000-8000-000000000001"),
        ("GET", "/api/v1/keys"),
        ("POST", "/api/v1/keys"),
        ("POST", "/api/v1/account/password"),
    ],
)
async def test_what_is_forged_opens_no_route_of_our_own(url: str, method: str, path: str) -> None:
    async with demo_on(url) as demo:
        client, anna = demo.client, await demo.create_account(MANAGER)
        into, _ = await demo.log_in(anna, MANAGER.workspace)
        forger = Forger(
            demo.deps.signing_keys.current,
            subject=str(anna.account_id),
            session=str(into.session_id),
            kind=MANAGER.workspace.realm,
            tenant=MANAGER.workspace.tenant,
            scopes=sorted(into.scopes),
        )
        for name, forge in FORGED.items():
            answer = await client.request(method, path, headers=bearer(forge(forger)))
            assert answer.status_code == 401, name

        assert (await client.request(method, path)).status_code == 401
        honest = await client.request(method, path, headers=bearer(forger.good()))
        assert honest.status_code != 401


def test_every_row_of_the_table_is_a_token_of_its_own() -> None:
    forger = Forger(SigningKey.generate())

    assert len({forge(forger) for forge in FORGED.values()}) == len(FORGED)
    assert jwt.get_unverified_header(forger.good())["alg"] == "EdDSA"


def form(who: Person, password: str) -> dict[str, Any]:
    return {"data": {"username": who.email, "password": password}}


def username(who: Person, password: str) -> dict[str, Any]:
    return {"json": {"username": who.username, "password": password}}


@pytest.mark.parametrize(
    ("path", "realm", "role", "login", "text"),
    [
        ("/auth/login", Realm.SCALES, "user", form, '{"detail": "Incorrect username or password"}'),
        ("/api/v1/auth/token", Realm.CRM, "ENGINEER", form, "Invalid email or password"),
        ("/api/v1/auth/login", Realm.KIOSK, "staff", username, "Incorrect username or password"),
    ],
    ids=("scales", "crm", "kiosk"),
)
async def test_neither_answers_nor_their_time_reveal_which_accounts_exist(
    url: str,
    path: str,
    realm: Realm,
    role: str,
    login: Callable[[Person, str], dict[str, Any]],
    text: str,
) -> None:
    counted = Counted(cost=CHEAP)
    async with harness_on(url) as harness:
        member, gone = [(await harness.account(realm, role)) for _ in range(2)]
        await deactivate(harness.deps.identity, gone.account_id, reason="test", actor="test")
        elsewhere = (Realm.CRM, "ENGINEER") if realm == Realm.SCALES else (Realm.SCALES, "user")
        tried = [
            (member.person, "wrong password"),
            (Person(email=some_email(), username=some_name()), PASSWORD),
            (gone.person, PASSWORD),
            ((await harness.account(*elsewhere)).person, PASSWORD),
            ((await harness.account(realm, role, "other")).person, PASSWORD),
            (Person(email="no address", username="no name"), PASSWORD),
        ]
        watched = replace(harness.deps, identity=replace(harness.deps.identity, passwords=counted))
        async with client_of(watched) as client:
            seen, work = set(), []
            for person, password in tried:
                before = counted.checks
                answer = await client.post(path, **login(person, password))
                names = tuple(sorted(name for name in answer.headers if name != "x-process-time"))
                body = {key: v for key, v in answer.json().items() if key != "request_id"}
                seen.add((answer.status_code, json.dumps(body), names))
                work.append(counted.checks - before)

    counted.close()
    ((status, said, _),) = seen
    assert (status, text in said) == (401, True)
    assert work == [1] * len(tried)
