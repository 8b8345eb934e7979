"""Notifications of shops, sent to their members in Telegram."""
