"""Requests that are carried out once per key: those in progress, and the answers of a day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
    case,
    delete,
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from libs.errors import Refused
from libs.postgres import query
from libs.postgres.pool import Connection, Pool, acquire, tenant_transaction
from libs.postgres.retention import prune
from libs.postgres.rls import Migration, create_tenant_tables

KEPT_FOR: Final = timedelta(hours=24)

KEPT: Final = Table(
    "idempotency",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("caller", Text, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("command_id", Uuid, nullable=False),
    Column("claim", Uuid, nullable=False),
    Column("in_flight_until", TIMESTAMP(timezone=True), nullable=False),
    Column("kept_until", TIMESTAMP(timezone=True), nullable=False),
    Column("status", SmallInteger),
    Column("headers", ARRAY(Text)),
    Column("body", LargeBinary),
)
_EXPIRED: Final = KEPT.c.kept_until <= func.now()

_NEW: Final = insert(KEPT).values(
    tenant=bindparam("tenant"),
    caller=bindparam("caller"),
    key=bindparam("key"),
    fingerprint=bindparam("fingerprint"),
    command_id=bindparam("command_id"),
    claim=bindparam("claim"),
    in_flight_until=func.now() + bindparam("deadline", type_=Interval),
    kept_until=func.now() + bindparam("kept_for", type_=Interval),
)
_CLAIM: Final = _NEW.on_conflict_do_update(
    index_elements=["tenant", "caller", "key"],
    set_={
        "fingerprint": _NEW.excluded.fingerprint,
        # What a lost claim may have appended has this id.
        "command_id": case((_EXPIRED, _NEW.excluded.command_id), else_=KEPT.c.command_id),
        "claim": _NEW.excluded.claim,
        "in_flight_until": _NEW.excluded.in_flight_until,
        "kept_until": _NEW.excluded.kept_until,
        "status": null(),
        "headers": null(),
        "body": null(),
    },
    where=or_(
        _EXPIRED,
        # The claim has expired without an answer. The key remains bound to its request.
        and_(
            KEPT.c.status.is_(None),
            KEPT.c.in_flight_until <= func.now(),
            KEPT.c.fingerprint == _NEW.excluded.fingerprint,
        ),
    ),
).returning(KEPT.c.command_id)
_EXISTING: Final = select(
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
    KEPT.c.status.is_(None),
)
_FINISH: Final = (
    update(KEPT)
    .where(*_HELD)
    .values(
        status=bindparam("status"),
        headers=bindparam("headers"),
        body=bindparam("body"),
        kept_until=func.now() + bindparam("kept_for", type_=Interval),
    )
)
_RELEASE: Final = update(KEPT).where(*_HELD).values(in_flight_until=func.now())
_FORGET: Final = delete(KEPT).where(*_HELD)


class KeyReused(Refused):
    """The Idempotency-Key belongs to another request"""


class InFlight(Refused):
    """The same request is still being answered"""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class AnswerLost(Refused):
    """This was done before; its answer was not kept"""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyedRequest:
    """A request that may be repeated. `key` and `fingerprint` are digests of its key and content;
    keys of different callers are different keys."""

    tenant: str
    caller: str
    key: bytes
    fingerprint: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The right to carry out a request, until a deadline.

    `command_id` is the same in all claims of a request, so that a log knows what was done under a
    claim that was lost. `follows_another` says that there was one.
    """

    request: KeyedRequest
    claim: UUID
    command_id: UUID
    follows_another: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAnswer:
    """The answer to a request. `body` is None if it was too large."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | None


_DEFINITION: Final = """(
    tenant text NOT NULL,
    caller text NOT NULL,
    key bytea NOT NULL,
    fingerprint bytea NOT NULL,
    command_id uuid NOT NULL,
    claim uuid NOT NULL,
    in_flight_until timestamptz NOT NULL,
    kept_until timestamptz NOT NULL,
    status smallint,
    headers text[],
    body bytea,
    PRIMARY KEY (tenant, caller, key)
)"""
_INDEX: Final = "CREATE INDEX idempotency_kept_until ON idempotency (kept_until)"


def create_idempotency(op: Migration) -> None:
    """Create the table. It does not follow from the log: what is lost is forgotten."""
    create_tenant_tables(op, {"idempotency": _DEFINITION}, [_INDEX])


class IdempotencyStore:
    """The requests of the last 24 hours. `pool` is in system scope.

    Every method raises Unavailable while the database is away.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(
        self, request: KeyedRequest, *, command_id: UUID, seconds: float
    ) -> Claim | StoredAnswer:
        """Claim the request for `seconds`, or the answer that is stored for it.

        A claim that expires without an answer can be claimed again; `command_id` is that of the
        first claim. Raises InFlight, KeyReused.
        """
        claim = uuid4()
        key = {"tenant": request.tenant, "caller": request.caller, "key": request.key}
        async with tenant_transaction(self._pool, request.tenant) as connection:
            claimed = await query.fetchval(
                connection,
                _CLAIM,
                **key,
                fingerprint=request.fingerprint,
                command_id=command_id,
                claim=claim,
                deadline=timedelta(seconds=seconds),
                kept_for=KEPT_FOR,
            )
            if claimed is not None:
                return Claim(
                    request=request,
                    claim=claim,
                    command_id=claimed,
                    follows_another=claimed != command_id,
                )
            return await _stored_answer(connection, request, key)

    async def finish(self, claim: Claim, answer: StoredAnswer) -> None:
        """Store the answer for a day, unless the claim expired and was claimed again.

        Also deletes a few answers that are older, of any tenant.
        """
        values = {
            "status": answer.status,
            "headers": [part.decode("latin-1") for header in answer.headers for part in header],
            "body": answer.body,
        }
        async with tenant_transaction(self._pool, claim.request.tenant) as connection:
            await query.execute(connection, _FINISH, **_held(claim), **values, kept_for=KEPT_FOR)
        async with acquire(self._pool) as connection:
            await prune(connection, "idempotency", "kept_until", datetime.now(UTC))

    async def release(self, claim: Claim, *, was_done: bool) -> None:
        """Give the claim back without an answer.

        If it may be that the request was carried out, by this claim or the one it follows, the
        same request alone may try again with the key; otherwise the key is free.
        """
        statement = _RELEASE if was_done or claim.follows_another else _FORGET
        async with tenant_transaction(self._pool, claim.request.tenant) as connection:
            await query.execute(connection, statement, **_held(claim))


async def _stored_answer(
    connection: Connection, request: KeyedRequest, key: Mapping[str, object]
) -> StoredAnswer:
    row = await query.fetchrow(connection, _EXISTING, **key)
    if row is None:
        # Released between the two statements.
        raise InFlight(1)
    if row["fingerprint"] != request.fingerprint:
        raise KeyReused
    if row["status"] is None:
        raise InFlight(max(1, int(row["left"])))
    texts = [text.encode("latin-1") for text in row["headers"]]
    headers = list(zip(texts[::2], texts[1::2], strict=True))
    return StoredAnswer(status=row["status"], headers=headers, body=row["body"])


def _held(claim: Claim) -> dict[str, object]:
    request = claim.request
    return {
        "of_tenant": request.tenant,
        "of_caller": request.caller,
        "my_key": request.key,
        "my_claim": claim.claim,
    }
