"""CoAP: the message layer of a server, and what it serves.

message    one datagram and back
endpoint   the message layer: repetitions, separate answers, what is remembered
blocks     bodies that come in blocks
server     the source: requests become readings
observe    resources of others, with aiocoap's client
"""

from device_agent.sources.coap.server import Coap

__all__ = ["Coap"]
