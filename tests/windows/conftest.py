"""What runs where: ``on_windows`` inside a Windows Python only, which ``test_under_wine.py`` starts on Linux."""

from __future__ import annotations

import sys

collect_ignore = [] if sys.platform == "win32" else ["on_windows"]
