"""Commands: one module each, named as the command; `device_agent.cli.parser.Command` says what it has."""
