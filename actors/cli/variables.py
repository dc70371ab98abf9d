"""Which variables of this shell go along to the hub: where programs and agents' files are found, and what the user names.

Must not know what is started with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from actors.cli.failures import USAGE, CommandFailedError

_OWN: Final = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "CODEX_HOME", "CLAUDE_CONFIG_DIR")
_OWN_BEGINNINGS: Final = ("LC_", "XDG_CONFIG", "XDG_DATA", "XDG_STATE", "XDG_CACHE")


def own_variables(environ: Mapping[str, str], more: Sequence[str] = ()) -> dict[str, str]:
    """Return the variables of this shell that an agent gets: where programs and agents' files are, and ``more``.

    Raises:
        CommandFailedError: one is wanted that is not set.

    """
    found = {name: value for name, value in environ.items() if name in _OWN or name.startswith(_OWN_BEGINNINGS)}
    for one in more:
        name, equals, value = one.partition("=")
        if not equals and name not in environ:
            raise CommandFailedError(f"--env {name}: it is not set here", USAGE)
        found[name] = value if equals else environ[name]
    return found
