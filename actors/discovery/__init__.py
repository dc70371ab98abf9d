"""The actor that sees agent processes: what runs, in which terminal, with which conversation, and who exited."""
