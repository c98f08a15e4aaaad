"""The demo: the whole pipeline on live readings of this machine, an outage, a `kill -9`, and the books at the end.

processes  the agent and the example programs, as a user would start them
tied       a launcher, so that they end with the demo
books      what was sent, acknowledged, received, applied, doubled, missing
story      what happens when
show       what is to be seen of it
__main__   `make demo`
"""
