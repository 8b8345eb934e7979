"""Scans come in, dashboards come out."""
