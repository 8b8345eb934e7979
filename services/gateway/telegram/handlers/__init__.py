"""Commands of one-time codes and Mini Apps."""
