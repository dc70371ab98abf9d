"""The terminal host: a process of its own that gives one program a terminal, and tells what that shows."""
