"""Readers of CSV files, workbooks and Google Sheets."""
