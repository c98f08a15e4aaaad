"""`make pattern NAME=...`: a pattern of examples/patterns, played from the programs to the lake."""
