"""Exports of the scans as CSV and workbooks."""
