"""The gateway's directory of shops: their names, and their members by name and phone.

Accounts and roles are the gateway's. Names and phones are not copied into the shop's log or tables:
they are cached in memory for a short time.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urljoin

import aiohttp
import msgspec
import structlog

from libs.errors import Unavailable
from libs.http.client import open_client

FRESH_SECONDS: Final = 15.0
"""How long an answer is used without another request."""
MISSING_SECONDS: Final = 1.0
"""How long what an answer does not have is not asked for again: it may be new."""
KNOWN_SECONDS: Final = 600.0
"""How long an answer is used while the gateway does not answer."""
ASK_SECONDS: Final = 2.0
CACHED_SHOPS: Final = 1000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A member of a shop. `number` is the id for clients, `account_id` the subject of tokens."""

    account_id: str
    number: int
    name: str
    phone: str | None
    role: str
    active: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Directory:
    """A shop and its members."""

    name: str
    city: str
    phone: str | None
    staff: tuple[Member, ...]

    def by_number(self, number: int) -> Member | None:
        """The member with this id."""
        return next((one for one in self.staff if one.number == number), None)

    def by_account(self, account_id: str) -> Member | None:
        """The member who is the subject of a token."""
        return next((one for one in self.staff if one.account_id == account_id), None)

    def florists(self) -> tuple[Member, ...]:
        """The active florists."""
        return tuple(one for one in self.staff if one.active and one.role == "florist")


@dataclass(slots=True)
class _Cached:
    directory: Directory | None = None
    at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Directories:
    """The directories of shops, asked for at the gateway whose key set is at `jwks_url`."""

    def __init__(self, client: aiohttp.ClientSession, jwks_url: str) -> None:
        self._client = client
        self._url = urljoin(jwks_url, "/internal/shops/")
        self._cached: OrderedDict[str, _Cached] = OrderedDict()

    async def find(self, tenant: str, *, member: int | None = None) -> Directory | None:
        """The directory of a shop, some seconds old at most; None if there is no such shop.

        It is newer if it had no shop, or not this `member`; older, up to `KNOWN_SECONDS`, while the
        gateway does not answer. Raises Unavailable if there is none.
        """
        cached = self._cached.setdefault(tenant, _Cached())
        self._cached.move_to_end(tenant)
        if len(self._cached) > CACHED_SHOPS:
            self._cached.popitem(last=False)
        async with cached.lock:
            now = asyncio.get_running_loop().time()
            known = cached.directory
            complete = known is not None and (member is None or known.by_number(member))
            if cached.at + (FRESH_SECONDS if complete else MISSING_SECONDS) > now:
                return known
            try:
                cached.directory, cached.at = await self._ask(tenant), now
            except Unavailable:
                if cached.at + KNOWN_SECONDS < now:
                    raise
            return cached.directory

    async def names(self, tenant: str) -> Directory:
        """The directory for displaying names: an empty one while it is not known."""
        try:
            found = await self.find(tenant)
        except Unavailable:
            found = None
        return found or Directory(name="", city="", phone=None, staff=())

    async def _ask(self, tenant: str) -> Directory | None:
        try:
            async with (
                asyncio.timeout(ASK_SECONDS),
                self._client.get(
                    self._url + quote(tenant, safe=""), allow_redirects=False
                ) as response,
            ):
                response.raise_for_status()
                return msgspec.json.decode(await response.read(), type=Directory | None)
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError) as error:
            log.warning("directory not read", error=type(error).__name__)
            raise Unavailable("gateway") from error


@asynccontextmanager
async def open_directories(jwks_url: str) -> AsyncIterator[Directories]:
    """Directories with a client of their own."""
    async with open_client() as client:
        yield Directories(client, jwks_url)
