"""The staff of a shop, and the shop itself, as the gateway knows them."""
