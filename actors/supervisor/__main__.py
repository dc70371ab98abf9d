"""The process that ``tabwire up`` starts: ``python -m actors.supervisor``."""

import gc
import sys

from actors.supervisor.forks import begin_forks

if __name__ == "__main__":
    forks = begin_forks("-I")  # before all the rest is loaded, so that it loads at the same time
    gc.disable()  # a tenth of the time that loading takes
    from actors.supervisor.run import run_supervisor
    from actors.supervisor.table import children, command

    gc.enable()
    sys.exit(
        run_supervisor(
            lambda config, orders: children(
                config, demo=orders.demo, intensity=orders.intensity, allow_remote=orders.allow_remote
            ),
            command,
            forks,
        )
    )
