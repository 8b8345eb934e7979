"""Read models follow the log itself, no longer what came of it over Kafka."""

from typing import Final

from alembic import op

from libs.projections.adoption import adopt_read_models
from libs.projections.schema import create_projections

revision: Final = "0010_follow_log"
down_revision: Final = "0009_pace"


def upgrade() -> None:
    """Create the tables, and give the read models that are there their places."""
    create_projections(op)
    adopt_read_models(op)
