"""Rules of scans, boxes and days."""
