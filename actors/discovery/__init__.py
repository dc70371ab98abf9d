"""The actor that sees agent processes: what runs, in which terminal, with which conversation, and who exited.

``scout`` reads (in a worker thread), ``portrait``, ``holdings``, ``endpoints`` and ``routes`` say what the readings mean, and
``account`` decides what is news: all four are pure. ``actor`` is the shell. Must not know what is believed of its facts.
"""
