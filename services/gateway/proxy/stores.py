"""Answers to requests with an `Idempotency-Key`, stored for a day."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    TIMESTAMP,
    Column,
    Interval,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    and_,
    bindparam,
    delete,
    func,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from libs.postgres import query
from libs.postgres.pool import Connection, Pool, tenant_transaction

KEPT_FOR: Final = timedelta(hours=24)
SWEEP_SECONDS: Final = 60.0
SWEPT_AT_ONCE: Final = 500

KEPT: Final = Table(
    "idempotency",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("caller", Text, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("claim", Uuid, nullable=False),
    Column("in_flight_until", TIMESTAMP(timezone=True), nullable=False),
    Column("kept_until", TIMESTAMP(timezone=True), nullable=False),
    Column("status", SmallInteger),
    Column("headers", ARRAY(Text)),
    Column("body", LargeBinary),
)

_NEW: Final = insert(KEPT).values(
    tenant=bindparam("tenant"),
    caller=bindparam("caller"),
    key=bindparam("key"),
    fingerprint=bindparam("fingerprint"),
    claim=bindparam("claim"),
    in_flight_until=func.now() + bindparam("deadline", type_=Interval),
    kept_until=func.now() + bindparam("kept_for", type_=Interval),
)
CLAIM: Final = _NEW.on_conflict_do_update(
    index_elements=["tenant", "caller", "key"],
    set_={
        "fingerprint": _NEW.excluded.fingerprint,
        "claim": _NEW.excluded.claim,
        "in_flight_until": _NEW.excluded.in_flight_until,
        "kept_until": _NEW.excluded.kept_until,
        "status": null(),
        "headers": null(),
        "body": null(),
    },
    where=or_(
        KEPT.c.kept_until <= func.now(),
        # The claim has expired without an answer. The key remains bound to its request.
        and_(
            KEPT.c.status.is_(None),
            KEPT.c.in_flight_until <= func.now(),
            KEPT.c.fingerprint == _NEW.excluded.fingerprint,
        ),
    ),
).returning(KEPT.c.claim)
EXISTING: Final = select(
    KEPT,
    func.ceil(func.extract("epoch", KEPT.c.in_flight_until - func.now())).label("left"),
).where(
    KEPT.c.tenant == bindparam("tenant"),
    KEPT.c.caller == bindparam("caller"),
    KEPT.c.key == bindparam("key"),
)
_HELD: Final = (
    KEPT.c.tenant == bindparam("of_tenant"),
    KEPT.c.claim == bindparam("my_claim"),
    KEPT.c.caller == bindparam("of_caller"),
    KEPT.c.key == bindparam("my_key"),
)
FINISH: Final = (
    update(KEPT)
    .where(*_HELD)
    .values(
        status=bindparam("status"),
        headers=bindparam("headers"),
        body=bindparam("body"),
        kept_until=func.now() + bindparam("kept_for", type_=Interval),
    )
)
RELEASE: Final = delete(KEPT).where(*_HELD, KEPT.c.status.is_(None))
_KEY: Final = (KEPT.c.tenant, KEPT.c.caller, KEPT.c.key)
SWEEP: Final = delete(KEPT).where(
    tuple_(*_KEY).in_(select(*_KEY).where(KEPT.c.kept_until <= func.now()).limit(SWEPT_AT_ONCE))
)


class InFlight(Exception):
    """The same request is being answered. `retry_after` is in seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class AnotherRequest(Exception):
    """The key was used for another request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestFingerprint:
    """A request that may be repeated. `key` and `fingerprint` are digests of its content."""

    tenant: str
    caller: str
    key: bytes
    fingerprint: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The right to answer a request, until a deadline."""

    fingerprint: RequestFingerprint
    claim: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredResponse:
    """A stored answer. `body` is None if it was too large or lost."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | None


class IdempotencyStore:
    """The stored answers of all tenants. `pool` is in system scope.

    Every method raises Unavailable while the database is away.
    """

    def __init__(self, pool: Pool, *, now: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._now = now
        self._sweep_at = now() + SWEEP_SECONDS

    async def claim(
        self, fingerprint: RequestFingerprint, *, seconds: float
    ) -> Claim | StoredResponse:
        """Claim the request for `seconds`, or the answer that is stored for it.

        A claim that expires without an answer can be claimed again. Raises InFlight,
        AnotherRequest.
        """
        await self._sweep()
        claim = Claim(fingerprint=fingerprint, claim=uuid4())
        async with tenant_transaction(self._pool, fingerprint.tenant) as connection:
            existing = await _claim(connection, claim, timedelta(seconds=seconds))
        return claim if existing is None else _stored_response(existing, fingerprint)

    async def finish(self, claim: Claim, answer: StoredResponse) -> None:
        """Store the answer for a day, unless the claim expired and was claimed again."""
        values = {
            "status": answer.status,
            "headers": _flat_headers(answer.headers),
            "body": answer.body,
        }
        async with tenant_transaction(self._pool, claim.fingerprint.tenant) as connection:
            await query.execute(
                connection, FINISH, **_claim_values(claim), **values, kept_for=KEPT_FOR
            )

    async def release(self, claim: Claim) -> None:
        """Release the claim: the request may be repeated at once."""
        async with tenant_transaction(self._pool, claim.fingerprint.tenant) as connection:
            await query.execute(connection, RELEASE, **_claim_values(claim))

    async def _sweep(self) -> None:
        if self._now() < self._sweep_at:
            return
        self._sweep_at = self._now() + SWEEP_SECONDS
        await query.execute(self._pool, SWEEP)


async def _claim(connection: Connection, claim: Claim, deadline: timedelta) -> query.Row | None:
    """None if the claim succeeded, else the existing row."""
    fingerprint = claim.fingerprint
    key = {"tenant": fingerprint.tenant, "caller": fingerprint.caller, "key": fingerprint.key}
    claimed = await query.fetchval(
        connection,
        CLAIM,
        **key,
        fingerprint=fingerprint.fingerprint,
        claim=claim.claim,
        deadline=deadline,
        kept_for=KEPT_FOR,
    )
    if claimed is not None:
        return None
    existing = await query.fetchrow(connection, EXISTING, **key)
    if existing is None:
        # Released between the two statements.
        raise InFlight(1)
    return existing


def _stored_response(existing: query.Row, fingerprint: RequestFingerprint) -> StoredResponse:
    if existing["fingerprint"] != fingerprint.fingerprint:
        raise AnotherRequest
    if existing["status"] is None:
        raise InFlight(max(1, int(existing["left"])))
    texts = [text.encode("latin-1") for text in existing["headers"]]
    return StoredResponse(
        status=existing["status"],
        headers=list(zip(texts[::2], texts[1::2], strict=True)),
        body=existing["body"],
    )


def _claim_values(claim: Claim) -> dict[str, object]:
    fingerprint = claim.fingerprint
    return {
        "of_tenant": fingerprint.tenant,
        "of_caller": fingerprint.caller,
        "my_key": fingerprint.key,
        "my_claim": claim.claim,
    }


def _flat_headers(headers: list[tuple[bytes, bytes]]) -> list[str]:
    return [part.decode("latin-1") for header in headers for part in header]
