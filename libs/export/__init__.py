"""Exports for spreadsheet programs: one list of columns serves CSV and workbooks."""
