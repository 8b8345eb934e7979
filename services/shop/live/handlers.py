"""What is done about live messages beside sending them."""

from libs.http.live_messages import pruning
from libs.process.periodic import Periodic
from services.shop.context import Context


def message_pruning(context: Context) -> Periodic:
    """The job that deletes old live messages."""
    return pruning(context.system)
