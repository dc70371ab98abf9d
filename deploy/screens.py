"""Take README's screenshots: the demo in a real tmux, its screen as it is, drawn as SVG into .github/."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, ROWS = 150, 40


def tmux(socket: Path, *arguments: str) -> str:
    """Run one tmux command on a private server."""
    command = ["tmux", "-S", str(socket), "-f", "/dev/null", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603


def settled(socket: Path, until: str) -> str:
    """Return the screen once it shows a text; a screen can only be polled."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if until in tmux(socket, "capture-pane", "-p"):
            return tmux(socket, "capture-pane", "-p", "-e")
        time.sleep(0.2)
    sys.exit(f"{until!r} did not appear:\n{tmux(socket, 'capture-pane', '-p')}")


def draw(screen: str, title: str, file: Path) -> None:
    """Draw a screen as SVG, without the fonts that it would fetch from elsewhere."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(screen.rstrip()))
    svg = re.sub(r"@font-face\s*\{.*?\}", "", console.export_svg(title=title), flags=re.DOTALL)
    file.write_text(svg.replace("Fira Code", "ui-monospace, Menlo, Consolas"))


def main() -> None:
    """Run the demo and draw what it shows."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        socket = Path(folder) / "tmux"
        (home / "config.toml").write_text("[gateway]\nport = 38129\n[echo]\nport = 38131\n")
        (home / "config.toml").chmod(0o600)
        shell = f"TABWIRE_HOME={home} PATH={ROOT}/.venv/bin:$PATH PS1='$ ' bash --norc --noprofile"
        tmux(socket, "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "-c", str(home), shell)
        try:
            tmux(socket, "send-keys", "clear; tabwire up --demo", "Enter")
            draw(settled(socket, "tabwire down"), "tabwire up --demo", ROOT / ".github/demo.svg")
            tmux(socket, "send-keys", "clear; tabwire explain demo-", "Enter")
            draw(settled(socket, "decisions"), "tabwire explain", ROOT / ".github/explain.svg")
            tmux(socket, "send-keys", "clear; tabwire down", "Enter")
            settled(socket, "stopped:")
        finally:
            tmux(socket, "kill-server")


if __name__ == "__main__":
    main()
