"""Store Cleaner of the ledger: what landing left undecided is decided, and what is received for good is kept in a few bytes for ever.

Invariants
1. A number enters the folded ranges only after a claim of it was read that names a key which was seen as data.
2. The folded ranges only ever grow: each part of them, each item, does. So a reader of any age or order sees what was folded long before.
3. A part is written only over the version that was read, so of two at once one begins again.
4. A key is voided by a create-only put, and only after the day of the key and the lease of the claim are over.
By 1 a re-send that is covered is in the lake; by 2 and 3 it stays covered when its claim has expired; by 4 no data is ever overwritten.

ports      what closing and checking ask of ledger and lake
parts      pure: where to look for claims that are not folded, and which part of the folded ranges grows
closer     one line (device, stream, epoch): look at its claims, void, fold
checker    one line: gaps that stay, claims that stay undecided, folding that is behind
rounds     all lines of a bucket, several at a time, within the time that there is
dynamodb, s3   the ports on AWS

`docs/closing.md` tells the story; `docs/models/closing.py` checks it exhaustively beside landing. Who changes it changes the model first.
"""
