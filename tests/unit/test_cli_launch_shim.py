"""npm's batch files: the script behind one is found, and another's is not taken for one."""

from __future__ import annotations

import pytest

from actors.launch.shim import is_batch_file, script_of

PROGRAM = r"C:\Users\me\AppData\Roaming\npm\codex.cmd"
NPM = r"""@ECHO off
GOTO start
:find_dp0
SET dp0=%~dp0
EXIT /b
:start
SETLOCAL
CALL :find_dp0

IF EXIST "%dp0%\node.exe" (
  SET "_prog=%dp0%\node.exe"
) ELSE (
  SET "_prog=node"
  SET PATHEXT=%PATHEXT:;.JS;=;%
)

endLocal & goto #_undefined_# 2>NUL || title %COMSPEC% & "%_prog%"  "%dp0%\node_modules\@openai\codex\bin\codex.js" %*
"""
OLD_NPM = '@"%~dp0\\node.exe"  "%~dp0\\..\\@openai\\codex\\bin\\codex.mjs" %*\n'


@pytest.mark.parametrize(
    ("text", "script"),
    [
        (NPM, r"C:\Users\me\AppData\Roaming\npm\node_modules\@openai\codex\bin\codex.js"),
        (OLD_NPM, r"C:\Users\me\AppData\Roaming\npm\..\@openai\codex\bin\codex.mjs"),
        ("@echo off\r\npython agent.py %*\r\n", None),
        ("", None),
    ],
)
def test_the_script_behind_a_batch_file_is_found_or_there_is_none(text: str, script: str | None) -> None:
    assert script_of(PROGRAM, text) == script


def test_a_batch_file_is_told_by_its_name() -> None:
    assert [is_batch_file(name) for name in ("codex.cmd", "X.BAT", "codex.exe", "codex")] == [True, True, False, False]
