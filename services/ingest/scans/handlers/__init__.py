"""Commands that record scans."""
