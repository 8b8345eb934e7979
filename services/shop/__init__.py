"""The flower shop: products, stock, orders, production, storefront and tracking."""
