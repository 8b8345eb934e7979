"""Which read models a route's answer waits for."""

from typing import Final

from libs.http.visible import visible

ACCOUNTS: Final = visible("account", "session")
"""For routes that change accounts, which may end sessions."""
SESSIONS: Final = visible("session", when_refused=False)
"""For routes that open, refresh or end sessions. A refusal is answered at once: its time must not
tell whether it was recorded, and so whether there is such an account."""
NEWCOMERS: Final = visible("account", "session", when_refused=False)
"""For routes where a person or a device that is not known yet gets an account or a session."""
API_KEYS: Final = visible("api_key")
