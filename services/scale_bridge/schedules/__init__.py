"""Updates at intervals or by a calendar, and recovery after failures."""
