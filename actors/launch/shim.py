"""Windows only: the small batch file that npm puts on PATH for a program written for node, and what it runs.

A batch file must not be given an agent's arguments: its interpreter reads quotes and percent signs in them once more, and
runs what it makes of them. So the program behind it is started instead. Reads a text, changes nothing.
"""

from __future__ import annotations

import re
from pathlib import PureWindowsPath
from typing import Final

BATCH_FILES: Final = (".cmd", ".bat")
_RUNS: Final = re.compile(r'"%(?:~dp0|dp0%)\\?([^"%]+\.[cm]?js)"\s+%\*')


def is_batch_file(program: str) -> bool:
    """Tell whether a program's file is for the batch interpreter."""
    return program.lower().endswith(BATCH_FILES)


def script_of(program: str, text: str) -> str | None:
    """Return the script that npm's batch file ``program`` with this ``text`` gives to node; None when it is another's."""
    found = _RUNS.search(text)
    return str(PureWindowsPath(program).parent / found[1]) if found else None
