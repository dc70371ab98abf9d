"""Runs one joiner: ``python -I -m actors.attach app-server SOCKET PID``, started by a bridge as if it were the agent."""

import sys

from actors.attach.control import join_server

if __name__ == "__main__":
    sys.exit(join_server(sys.argv[2], int(sys.argv[3])))
