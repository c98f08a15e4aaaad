"""The drain in C: messages out of a socket and into MessagePack without a Python object each, and without the interpreter lock.

Promises: the same readings, in the same order, in the same batches' bytes as the Python path, which runs wherever the library was not
built or does not fit; never both for one socket at a time. Why it is C, and what else was tried: docs/decisions/0050.

How: `drain.c` is the loop. `library` finds what `build` has compiled of it and hands it libzmq's functions. `layout` is the memory that C
and Python share, `reader` makes batches of it.
"""
