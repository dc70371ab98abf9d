"""Keys from where references point: a real keyring (Secret Service in a session of its own), and kinds of it that refuse."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from actors.runtime.keys import KeyMissingError, read_key, read_keys

KEY = "sk-canary-keyring-0123456789"
NAME = "keyring:tabwire-test/ada"
MISSING = [name for name in ("dbus-run-session", "gnome-keyring-daemon") if shutil.which(name) is None]
SCRIPT = """
import os, sys
import keyring
from actors.runtime.keys import read_keys
keyring.set_password("tabwire-test", "ada", sys.argv[1])
names = ["keyring:tabwire-test/ada", "keyring:tabwire-test/nobody", "env:PLAIN"]
found = read_keys(names, {**os.environ, "PLAIN": "sk-plain-1"})
assert found["keyring:tabwire-test/ada"].reveal() == sys.argv[1]
assert found["env:PLAIN"].reveal() == "sk-plain-1"
print(found["keyring:tabwire-test/nobody"])
print(found)
"""


def environment(folder: Path, backend: str = "") -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    chosen = {"PYTHON_KEYRING_BACKEND": backend} if backend else {}
    return {**kept, **chosen, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}


def problem(reference: str, environ: dict[str, str]) -> str:
    with pytest.raises(KeyMissingError) as caught:
        read_key(reference, environ)
    return str(caught.value)


@pytest.mark.skipif(bool(MISSING), reason=f"needs a Secret Service to be started: {', '.join(MISSING)} not installed")
def test_a_key_comes_out_of_a_real_secret_service(tmp_path: Path) -> None:
    unlock = "printf 'pw\\n' | gnome-keyring-daemon --unlock --components=secrets >/dev/null"
    command = f'{unlock} && exec "$0" -c "$1" "$2"'
    done = subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", command, sys.executable, SCRIPT, KEY],
        env=environment(tmp_path),
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "has no password of user 'nobody' for 'tabwire-test'" in done.stdout
    assert "keyring set tabwire-test nobody" in done.stdout
    assert KEY not in done.stdout + done.stderr


def test_without_a_keyring_the_error_says_what_to_use(tmp_path: Path) -> None:
    said = problem(NAME, environment(tmp_path, "keyring.backends.fail.Keyring"))
    assert said.startswith("the keyring is not to be found here")
    assert "use env:NAME or file:/path" in said


def test_a_keyring_that_holds_nothing_says_how_to_store_it(tmp_path: Path) -> None:
    said = problem(NAME, environment(tmp_path, "keyring.backends.null.Keyring"))
    assert "has no password of user 'ada' for 'tabwire-test'" in said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise keyring.errors.KeyringLocked('x')", "is locked"),
        ("raise RuntimeError('sk-said-in-an-error')", "RuntimeError"),
        ("return 'two words'", "is not a key"),
        ("return 'sk-good-0123456789'", ""),
    ],
)
def test_what_a_keyring_answers_is_told_apart_and_never_shown(body: str, said: str, tmp_path: Path) -> None:
    """A keyring of the test's own: a file that the user's settings of ``keyring`` name, as they can name any other."""
    (tmp_path / "own_keyring.py").write_text(
        "import keyring.backend, keyring.errors\n"
        "class Own(keyring.backend.KeyringBackend):\n"
        "    priority = 9\n"
        f"    def get_password(self, service, username):\n        {body}\n"
        "    set_password = delete_password = get_password\n"
    )
    settings = tmp_path / ".config" / "python_keyring"
    settings.mkdir(parents=True)
    (settings / "keyringrc.cfg").write_text(
        f"[backend]\ndefault-keyring=own_keyring.Own\nkeyring-path={tmp_path}\n",
    )
    environ = environment(tmp_path)
    if said:
        told = problem(NAME, environ)
        assert said in told
        assert "sk-said" not in told
    else:
        assert read_key(NAME, environ).reveal() == "sk-good-0123456789"


def test_a_keyring_is_asked_once_for_all_and_sees_no_other_key(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    (tmp_path / "own_keyring.py").write_text(
        "import os, keyring.backend\n"
        "class Own(keyring.backend.KeyringBackend):\n"
        "    priority = 9\n"
        "    def get_password(self, service, username):\n"
        f"        open({str(seen)!r}, 'a').write(f'{{os.getpid()}} {{sorted(os.environ)}}\\n')\n"
        "        return 'sk-' + username * 3\n"
        "    set_password = delete_password = get_password\n"
    )
    settings = tmp_path / ".config" / "python_keyring"
    settings.mkdir(parents=True)
    (settings / "keyringrc.cfg").write_text(f"[backend]\ndefault-keyring=own_keyring.Own\nkeyring-path={tmp_path}\n")
    found = read_keys(["keyring:s/one", "keyring:s/two"], {**environment(tmp_path), "OTHER_KEY": KEY})
    assert [getattr(one, "reveal", lambda: "")() for one in found.values()] == ["sk-oneoneone", "sk-twotwotwo"]
    lines = seen.read_text().splitlines()
    assert len(lines) == 2
    assert len({line.partition(" ")[0] for line in lines}) == 1
    assert "OTHER_KEY" not in seen.read_text()
