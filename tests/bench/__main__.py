"""Every benchmark in one go: ``python -m tests.bench [--quick] [--litellm PATH]``. Exits 1 when a goal is missed.

Needs nginx on the machine, and a machine that does nothing else. Each part says what it ran on and prints ratios against a
peer of the same run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

PARTS = {
    "gateway": ("the gateway beside nginx and no gateway at all", ["--quick"]),
    "slow": ("500 slow callers beside a normal load", ["--rounds", "2"]),
    "bus": ("published, committed, acknowledged, delivered", []),
    "fold": ("replay through the registry's fold", []),
    "discovery": ("what it costs to know every agent, and how soon one is known", ["--rounds", "20"]),
    "registry": ("1,000 sessions and 100 changes a second", []),
    "identity": ("connection → process → terminal", ["--rounds", "500"]),
    "history": ("the first page over 20,000 old files", ["--rounds", "3"]),
    "rollout": ("a line in a rollout → its event on the bus; what old files cost", ["--seconds", "5"]),
    "bridges": ("what driven sessions cost, and how soon their words are heard", ["--bridges", "20", "--words", "150"]),
    "restart": ("killed → READY again", ["--kills", "20", "--starts", "2"]),
}


def main() -> int:
    """Run the parts one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--litellm", metavar="PATH", help="a LiteLLM proxy's executable to compare the gateway with")
    parser.add_argument("parts", nargs="*", help=f"only these of: {', '.join(PARTS)}")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    missed = []
    for name in options.parts or PARTS:
        title, quick = PARTS[name]
        more = [
            *(quick if options.quick else []),
            *(["--litellm", options.litellm] if options.litellm and name == "gateway" else []),
        ]
        print(f"\n# {name}: {title}\n", flush=True)
        if subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *more], check=False).returncode:
            missed.append(name)
    if missed:
        print(f"\ngoals missed, or not measured: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
