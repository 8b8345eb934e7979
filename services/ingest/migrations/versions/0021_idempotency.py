"""Answers to requests with an `Idempotency-Key`."""

from functools import partial

from alembic import op

from libs.postgres.idempotency import create_idempotency

revision = "0021"
down_revision = "0020"

upgrade = partial(create_idempotency, op)
