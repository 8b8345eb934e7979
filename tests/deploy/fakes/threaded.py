"""A module that starts a thread while it is imported, which a parent of forks may not have."""

import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()
