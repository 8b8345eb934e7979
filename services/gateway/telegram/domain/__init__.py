"""Rules of one-time codes and of what Telegram sends."""
