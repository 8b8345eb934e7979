"""The stock: batches of flowers, reservations for orders, deliveries and supplies."""
