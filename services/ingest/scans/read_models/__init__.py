"""Questions about scans."""
