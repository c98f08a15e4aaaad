"""Fake (Meszaros): SQS as a small real HTTP server on loopback, with a script of faults.

model      what SQS keeps and checks: queues, limits, message groups, deduplication
protocol   AWS JSON 1.0 and Query/XML, both ways
faults     what goes wrong, when
server     the HTTP server (`FakeSqs`)
signature  Signature V4, checked as AWS does
responder  no model at all: accepts everything as fast as possible (for benchmarks)
"""

from __future__ import annotations

from tests.fakes.sqs.faults import Fault
from tests.fakes.sqs.model import Accepted, Sqs
from tests.fakes.sqs.server import FakeSqs

__all__ = ["Accepted", "FakeSqs", "Fault", "Sqs"]
