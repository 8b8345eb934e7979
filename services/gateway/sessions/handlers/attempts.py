"""Limits on attempts to log in, by account and by network.

An account may be tried so often from one network, and a network may fail so often altogether. A
network slows only itself, and not those of its accounts that logged in from it before; at the
hashing threads, networks from which logins succeeded go ahead of unknown ones.
"""

from dataclasses import dataclass, field
from typing import Final

from libs.errors import TooManyRequests
from libs.process.fair_queue import Source
from services.gateway.accounts.handlers.identity import Identity
from services.gateway.doors.domain.door import Limit
from services.gateway.doors.domain.network import network_of
from services.gateway.doors.stores import Exceeded, Limits
from services.gateway.sessions.stores import known_networks

FAILURES: Final = "failures"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempts:
    """What is tried from one network address; digests that were `known_lately` as it began."""

    identity: Identity
    limits: Limits
    address: str
    known_lately: set[str] = field(default_factory=set)

    async def count(self, limit: Limit, what: str) -> None:
        """Count a try of `what` from here. Raises TooManyRequests."""
        key = self.identity.seal.digest("login", what)
        _check(await self.limits.hit(limit, key=key, address=self.address))

    async def begin(self, account: str) -> Source:
        """Count a try to log in to an account; what to queue as.

        `account` is its id, or the digest of an address without an account. Raises TooManyRequests,
        Unavailable.
        """
        await self.count(Limit.LOGIN, account)
        here, pair = self._digests(account)
        now = self.identity.clock()
        known = await known_networks.known(self.identity.pool, (here, pair), now)
        self.known_lately.update(digest for digest, lately in known.items() if lately)
        if pair not in known:
            await self.check_failures()
        return Source(here, trusted=here in known)

    async def check_failures(self) -> None:
        """Raises TooManyRequests if too much failed from here lately."""
        key, address = FAILURES, self.address
        _check(await self.limits.test(Limit.FAILED_LOGIN, key=key, address=address))

    async def failed(self) -> None:
        """The try was wrong. Raises TooManyRequests if others from here were as well."""
        _check(await self.limits.hit(Limit.FAILED_LOGIN, key=FAILURES, address=self.address))

    async def succeeded(self, account: str) -> None:
        """The try was right: the account is known here from now on. Raises Unavailable."""
        digests = self._digests(account)
        if not self.known_lately.issuperset(digests):
            await known_networks.remember(self.identity.pool, digests, self.identity.clock())

    def newcomer(self) -> Source:
        """What the work for a new account queues as."""
        return Source(f"newcomers {network_of(self.address)}")

    def _digests(self, account: str) -> tuple[str, str]:
        """Of the network, and of the account in it."""
        network, digest = network_of(self.address), self.identity.seal.digest
        return digest("network", network), digest("network of account", f"{account} {network}")


def _check(over: Exceeded | None) -> None:
    if over is not None:
        raise TooManyRequests(retry_after_seconds=over.retry_after, limit=over.limit)
