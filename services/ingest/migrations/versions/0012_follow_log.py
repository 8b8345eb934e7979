"""Read models follow the log itself, no longer what came of it over Kafka."""

from typing import Final

from alembic import op

from libs.projections.adoption import adopt_read_models
from libs.projections.schema import create_projections

revision: Final = "0012"
down_revision: Final = "0011"


def upgrade() -> None:
    """Create the tables, and give the read models that are there their places."""
    create_projections(op)
    # It goes by the device's clock where it went by the time that counts.
    adopt_read_models(op, changed=["activity"])
