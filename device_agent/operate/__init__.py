"""Operator commands: they read the cloud half from a desk, with the operator's credentials. Not part of the agent.

books        what was received, and what is missing and why: pure
audit        reads the books from ledger and lake
letters      what a dead letter says: pure
deadletters  dead-letter queues: look, copy, send back
fleet        which devices there are, and their latest values
account      the stack whose tables and queues these ask
cost         what a fleet costs a month: pure, like its parts: prices (data), measured (sizes), growth (limits), costpage (docs)
"""
