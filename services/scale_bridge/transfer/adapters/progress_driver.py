"""A driver that reports progress."""

from services.scale_bridge.driver.adapters.driver import DEADLINE_SECONDS, PROBE_SECONDS, Driver
from services.scale_bridge.driver.adapters.operation import Fetched, Info, Uploaded
from services.scale_bridge.driver.adapters.replies import Progress
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.document import STRICT, Document, Strictness


class ProgressDriver(Driver):
    """The same driver, which reports every transfer to `progress`."""

    def __init__(self, driver: Driver, progress: Progress) -> None:
        # Not a driver of its own: threads and limits are those of the other.
        self._driver = driver
        self._progress = progress

    @property
    def busy(self) -> int:
        """See `Driver`."""
        return self._driver.busy

    async def fetch(
        self,
        endpoint: Endpoint,
        password: str,
        deadline: float = DEADLINE_SECONDS,
        *,
        strictness: Strictness = STRICT,
        progress: Progress | None = None,
    ) -> Fetched:
        """See `Driver`."""
        return await self._driver.fetch(
            endpoint, password, deadline, strictness=strictness, progress=progress or self._progress
        )

    async def upload(
        self,
        endpoint: Endpoint,
        password: str,
        document: Document,
        *,
        clear: bool,
        deadline: float = DEADLINE_SECONDS,
        progress: Progress | None = None,
    ) -> Uploaded:
        """See `Driver`."""
        return await self._driver.upload(
            endpoint,
            password,
            document,
            clear=clear,
            deadline=deadline,
            progress=progress or self._progress,
        )

    async def probe(self, endpoint: Endpoint, *, deadline: float = PROBE_SECONDS) -> Info:
        """See `Driver`."""
        return await self._driver.probe(endpoint, deadline=deadline)

    def stop(self) -> None:
        """See `Driver`."""
        self._driver.stop()
