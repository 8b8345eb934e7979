"""`python -m services.shop`: run, migrate and maintain it; set prices, forget
customers, import the former system's data."""

from libs.process.commands import command_line
from services.shop.bootstrap import SERVICE
from services.shop.customers.cli import add_forget
from services.shop.imports.cli import add_import
from services.shop.products.cli import add_prices

app = command_line(SERVICE)
add_forget(app, SERVICE)
add_prices(app, SERVICE)
add_import(app, SERVICE)

if __name__ == "__main__":
    app()
