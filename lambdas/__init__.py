"""The functions behind the queues: `archive` (standard) and `state` (FIFO). Both land what arrives through `landing`."""
