"""Runs one joiner, started by a bridge as if it were the agent: ``app-server SOCKET PID``, or ``follow`` and whom."""

import sys

if __name__ == "__main__":
    if sys.argv[1] == "follow":
        from actors.attach.contract import decode_follow
        from actors.attach.follow import follow

        sys.exit(follow(decode_follow(sys.argv[2])))
    from actors.attach.control import join_server

    sys.exit(join_server(sys.argv[2], int(sys.argv[3])))
