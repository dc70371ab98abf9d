"""The hub of the bridges: starts, restarts and ends one bridge for each driven session; all that the bus sees of them."""
