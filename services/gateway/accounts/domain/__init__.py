"""Rules of accounts, persons and realms."""
