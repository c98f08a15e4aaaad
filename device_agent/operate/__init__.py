"""Operator commands: they read the cloud half from a desk, with the operator's credentials. Not part of the agent.

books   what was received, and what is missing and why: pure
audit   reads the books from ledger and lake
"""
