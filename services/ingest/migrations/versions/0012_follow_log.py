"""Read models follow the log itself, no longer what came of it over Kafka."""

from typing import Final

from alembic import op

from libs.postgres.rls import application_role, enable_tenant_rls
from libs.projections.adoption import adopt_read_models
from libs.projections.schema import create_projections

revision: Final = "0012"
down_revision: Final = "0011"


def upgrade() -> None:
    """Create the tables, and give the read models that are there their places."""
    create_projections(op, application_role=application_role("ingest"))
    enable_tenant_rls(op, "parked_events")
    # It goes by the device's clock where it went by the time that counts.
    adopt_read_models(op, changed=["activity"])
