"""Building read models anew, when a service is migrated, that the code cannot go on with."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from libs.process import maintenance
from libs.projections.projection import Projection

if TYPE_CHECKING:
    from libs.process.commands import Service

_OUTDATED: Final = """
SELECT name, registered.version FROM projections AS registered
JOIN unnest($1::text[], $2::int[]) AS code (name, version) USING (name)
WHERE registered.state = 'live' AND registered.version < code.version ORDER BY name
"""


async def outdated(connection: Any, models: Sequence[Projection[Any]]) -> Mapping[str, int]:
    """The live read models that older code filled, by which version of it.

    0 are those whose place in the log is not known.
    """
    names, versions = [model.name for model in models], [model.version for model in models]
    rows = await connection.fetch(_OUTDATED, names, versions)
    return {row["name"]: row["version"] for row in rows}


def rebuild_outdated(service: "Service[Any]", *, newer_code: bool) -> int:
    """Rebuild the read models without a place in the log; with `newer_code` those, too, that
    another version of their code filled. An exit status.

    Rows as they were can be read until they are replaced. Broken off, it goes on when it is called
    again. An error is printed as one sentence.
    """
    return maintenance.status_of(_rebuild(service, newer_code))


async def _rebuild(service: "Service[Any]", newer_code: bool) -> int:
    settings = service.read_settings()
    async with maintenance.owner_pool(service) as pool:
        found = await outdated(pool, service.projections(settings))
    now = [name for name, version in found.items() if newer_code or not version]
    later = [name for name in found if name not in now]
    if later:
        Console().print(
            f"filled by older code, and not kept up to date until rebuilt: {' '.join(later)}\n"
            f"`migrate --rebuild` does it, or `rebuild build {' '.join(later)}`",
            markup=False,
            soft_wrap=True,
        )
    if not now:
        return 0
    Console().print(f"to be rebuilt: {' '.join(now)}", markup=False, soft_wrap=True)
    return await maintenance.replace_all(service, now)
