"""The bridge: one process that drives one agent session, and knows neither the bus nor any other session."""
