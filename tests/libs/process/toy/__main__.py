"""`python -m tests.libs.process.toy`: run it, migrate it, maintain it."""

from libs.process.commands import command_line
from tests.libs.process.toy.bootstrap import SERVICE

app = command_line(SERVICE)

if __name__ == "__main__":
    app()
