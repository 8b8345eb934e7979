"""Files that people upload."""

from typing import Final

from alembic import op

from libs.files.files import create_files

revision: Final = "0007"
down_revision: Final = "0006"


def upgrade() -> None:
    """Create the tables of files and of the room they take."""
    create_files(op)
