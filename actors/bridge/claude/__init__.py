"""The parts of the Claude Code adapter (``actors.bridge.adapters.claude``): stream-json's lines, turns, questions, ends."""
