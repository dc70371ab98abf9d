"""How an agent is started so that its requests come to the gateway: pure decisions here, one shell (``actors.cli.run``)."""
