"""Requests that are carried out once per key: those in progress, and the answers of a day."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from libs.errors import Refused
from libs.postgres import query
from libs.postgres.pool import Connection, Pool, acquire, tenant_transaction
from libs.postgres.retention import prune
from libs.postgres.rls import Migration, create_tenant_tables

KEPT_FOR: Final = timedelta(hours=24)

TABLES: Final = {
    "idempotency": """(
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
}
INDEX: Final = "CREATE INDEX idempotency_kept_until ON idempotency (kept_until)"

# What a lost claim may have appended has its `command_id`. A claim that expired without an answer
# can be claimed again; the key remains bound to its request.
_CLAIM: Final = """
INSERT INTO idempotency AS kept
    (tenant, caller, key, fingerprint, command_id, claim, in_flight_until, kept_until)
VALUES ($1, $2, $3, $4, $5, $6, now() + $7::interval, now() + $8::interval)
ON CONFLICT (tenant, caller, key) DO UPDATE
SET fingerprint = excluded.fingerprint, claim = excluded.claim,
    command_id = CASE WHEN kept.kept_until <= now()
        THEN excluded.command_id ELSE kept.command_id END,
    in_flight_until = excluded.in_flight_until, kept_until = excluded.kept_until,
    status = NULL, headers = NULL, body = NULL
WHERE kept.kept_until <= now() OR (
    kept.status IS NULL AND kept.in_flight_until <= now()
    AND kept.fingerprint = excluded.fingerprint
)
RETURNING command_id
"""
_EXISTING: Final = """
SELECT *, ceil(extract(epoch FROM in_flight_until - now())) AS left FROM idempotency
WHERE tenant = $1 AND caller = $2 AND key = $3
"""
_HELD: Final = "tenant = $1 AND caller = $2 AND key = $3 AND claim = $4 AND status IS NULL"
_FINISH: Final = f"""
UPDATE idempotency SET status = $5, headers = $6, body = $7, kept_until = now() + $8::interval
WHERE {_HELD}
"""  # noqa: S608 -- a constant
_RELEASE: Final = f"UPDATE idempotency SET in_flight_until = now() WHERE {_HELD}"  # noqa: S608
_FORGET: Final = f"DELETE FROM idempotency WHERE {_HELD}"  # noqa: S608 -- a constant


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


def create_idempotency(op: Migration) -> None:
    """Create the table. It does not follow from the log: what is lost is forgotten."""
    create_tenant_tables(op, TABLES, [INDEX])


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
        claim, deadline = uuid4(), timedelta(seconds=seconds)
        key = (request.tenant, request.caller, request.key)
        content = (request.fingerprint, command_id, claim)
        async with tenant_transaction(self._pool, request.tenant) as connection:
            claimed = await query.fetchval(connection, _CLAIM, *key, *content, deadline, KEPT_FOR)
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
        headers = [part.decode("latin-1") for header in answer.headers for part in header]
        values = (answer.status, headers, answer.body, KEPT_FOR)
        async with tenant_transaction(self._pool, claim.request.tenant) as connection:
            await query.execute(connection, _FINISH, *_held(claim), *values)
        async with acquire(self._pool) as connection:
            await prune(connection, "idempotency", "kept_until", datetime.now(UTC))

    async def release(self, claim: Claim, *, was_done: bool) -> None:
        """Give the claim back without an answer.

        If it may be that the request was carried out, by this claim or the one it follows, the
        same request alone may try again with the key; otherwise the key is free.
        """
        statement = _RELEASE if was_done or claim.follows_another else _FORGET
        async with tenant_transaction(self._pool, claim.request.tenant) as connection:
            await query.execute(connection, statement, *_held(claim))


async def _stored_answer(
    connection: Connection, request: KeyedRequest, key: tuple[str, str, bytes]
) -> StoredAnswer:
    row = await query.fetchrow(connection, _EXISTING, *key)
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


def _held(claim: Claim) -> tuple[object, ...]:
    request = claim.request
    return request.tenant, request.caller, request.key, claim.claim
