"""`python -m services.shop`: run, migrate and maintain it."""

from libs.process.commands import command_line
from services.shop.bootstrap import SERVICE

app = command_line(SERVICE)

if __name__ == "__main__":
    app()
