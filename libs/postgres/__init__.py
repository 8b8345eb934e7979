"""Pools, migrations, queries."""
