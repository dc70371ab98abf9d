"""The parts of the Codex adapter (``actors.bridge.adapters.codex``): the app-server's words, what waits for what, its start."""
