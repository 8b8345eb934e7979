"""`python -m services.shop`: run, migrate and maintain it; set prices, forget customers."""

from libs.process.commands import command_line
from services.shop.bootstrap import SERVICE
from services.shop.customers.cli import add_forget
from services.shop.products.prices.cli import add_prices

app = command_line(SERVICE)
add_forget(app, SERVICE)
add_prices(app, SERVICE)

if __name__ == "__main__":
    app()
