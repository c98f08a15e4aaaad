"""Idempotent Receiver: every envelope reaches the lake exactly once, at one ledger write each.

Invariants
1. An envelope is in a data object K only if its claim named K before K was put.
2. A claim leaves K only after K is void.
3. A key is created once, as data or as void, and never both: every create says `If-None-Match: *`.
So at most one data object holds an envelope. And a message is reported as successful only after its key was seen as data with the claim
naming it; the only writer of a key puts exactly what it claimed, or nothing. So none is lost. No clock is involved: leases only save work.

ports      what landing asks of ledger and lake
protocol   steps 4 to 6 of the protocol, for one envelope and for one object
batch      steps 1 to 3: one invocation, its keys, its twins, its verdicts
rows       an envelope's readings as lines of the lake
draft      the object of one stream while it grows
messages   what SQS hands over, and where what cannot land is set aside
dynamodb, s3, sqs, retry   the ports on AWS

`docs/landing.md` tells the story; `docs/models/landing.py` checks the protocol exhaustively. Whoever changes it changes the model first.
"""
