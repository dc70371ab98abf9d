"""Who says it: one folder a process. Folders never import each other, except ``runtime`` and ``probe``, which all share."""
