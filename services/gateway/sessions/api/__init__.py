"""What all logins share, and requests about one's own sessions."""
