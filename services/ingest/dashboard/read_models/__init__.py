"""Questions of the dashboard."""
