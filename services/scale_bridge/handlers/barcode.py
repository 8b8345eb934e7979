"""What happens when somebody sets the rules by which labels are read, or has one read."""

from functools import reduce

from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Cause
from services.scale_bridge.domain.barcode import BARCODES, Rules, SetRules
from services.scale_bridge.handlers.desk import Desk


async def rules_of(desk: Desk, tenant: str) -> Rules:
    """The tenant's rules as the log has them; none if nobody set any. Raises LogUnavailable."""
    rules, version = desk.rules.get(tenant, (BARCODES.initial, 0))
    later = await desk.store.log.read(tenant, BARCODES.stream(tenant), after=version)
    if later:
        rules = reduce(BARCODES.evolve, map(desk.store.decode, later), rules)
        desk.rules[tenant] = rules, version + len(later)
    return rules


async def set_rules(desk: Desk, command: SetRules, cause: Cause) -> Rules:
    """Read labels by these rules from now on. Safe to repeat. Raises BadRules, LogUnavailable."""
    await execute(desk.store, BARCODES, cause.tenant, command, cause=cause)
    return await rules_of(desk, cause.tenant)
