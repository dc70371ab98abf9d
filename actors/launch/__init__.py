"""How an agent is started so that its requests come to the gateway: pure decisions, used by ``actors.cli.run`` and bridges."""
