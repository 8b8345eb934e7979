"""A service with nothing inside: ready at once, a counter for metrics, gone on SIGTERM."""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

METRICS = "tillstream_appended_events_total 7\ntillstream_relay_backlog_events 2\n"


class Answers(BaseHTTPRequestHandler):
    """What the supervisor asks a service."""

    def do_GET(self) -> None:
        body = {"/ready": "{}", "/metrics": METRICS, "/env": str(dict(os.environ))}.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write((body or "").encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def serve(name: str) -> None:
    """Listen where the environment says, as `<name> <role>` of the command line."""
    field = "WORKER_HTTP_PORT" if sys.argv[1] == "worker" else "HTTP_PORT"
    port = int(os.environ[f"{name.upper()}_{field}"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    HTTPServer(("127.0.0.1", port), Answers).serve_forever()
