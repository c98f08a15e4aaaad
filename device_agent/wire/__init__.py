"""The wire: what device and cloud agree on. Needs the standard library, zstd and MessagePack, and nothing else of this project.

limits    what neither side may exceed
names     device, stream, epoch; ids and group ids
block     readings as compressed columns: what the log stores and an envelope carries
packed    payloads in MessagePack before their block is made
envelope  one SQS message as a CloudEvent; its digest (content, encoding, decoding, timestamps)
text      which payloads travel as they are
ranges    sets of sequence numbers
ledger    keys of the ledger, the state table and the lake
books     what became of each sequence number: received, pending, explained, missing
zstd      whichever codec is there, with bounds
errors    the one error
"""
