"""Which orders are there, and what happened to them?"""

from services.shop.orders.read_models.projection import projection
from services.shop.orders.read_models.queries import product_sales
from services.shop.orders.read_models.tables import TABLES

__all__ = ["TABLES", "product_sales", "projection"]
