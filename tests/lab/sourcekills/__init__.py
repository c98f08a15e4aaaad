"""Kills of the agent, and of the broker, while messages of another protocol are on their way in: programs, kills, and a judge."""
