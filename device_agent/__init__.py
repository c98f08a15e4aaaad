"""The device agent: from ZeroMQ programs on a board, over a log on disk, to AWS SQS.

Imports nothing, since it travels with `device_agent.wire` into the Lambda bundle; `docs/architecture.md` shows the way through the tree.
"""

__version__ = "0.1.0"
