"""Agents that have nothing but a terminal: what their screens mean, by declared patterns. Pure."""
