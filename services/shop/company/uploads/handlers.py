"""What is done about uploads beside requests."""

from libs.files.files import open_files, tidying
from libs.process.periodic import Periodic
from services.shop.context import Context


def file_tidying(context: Context) -> Periodic:
    """The job that removes what was not uploaded completely."""
    return tidying(open_files(context.settings, context.system))
