"""One process: its commands, its event loop, its HTTP server, how it stops."""
