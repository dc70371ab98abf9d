"""The files in which agents keep their conversations: which they are, how to open them safely, and what they say.

Used by the rollout watcher, which follows them, and by the CLI, which reads them once for ``history``:

- ``tree.roots(agent, home)``: the folders below which an agent keeps transcripts (``Root``); resolve the home first.
- ``files.find(root)``: every transcript below a root (``Found``: path, what its name says, its ``Mark``: size, mtime, inode).
- ``whole.first_facts(found)``: the facts up to ``transcript.seen``, from the first line or lines.
- ``whole.all_facts(found)``: every fact of a file, in order, the same ones that the watcher publishes.
- ``files.opened(root, path)``, ``lines``, ``story.take``, ``codex``, ``claude``: the parts that these are made of.

``lines``, ``facts``, ``tree``, ``story``, ``codex`` and ``claude`` are pure. No prompt, reply or instruction becomes a value
anywhere here. Must not know the bus, nor who asks.
"""
