"""A device of aiocoap: `coap_device.py URI NAME`. Registers with the broker at URI, which reaches it by that, and serves
`/state` (GET, PUT) and `/large` (GET) until it is ended. What it does it says, line by line."""

import asyncio
import socket
import sys

import aiocoap
from aiocoap import resource
from aiocoap.numbers.codes import Code

BASE, NAME = sys.argv[1:]


def say(line):
    print(line, flush=True)


class State(resource.Resource):
    """What somebody has put, with the query that came with it."""

    def __init__(self):
        super().__init__()
        self.value = b"off"

    async def render_get(self, request):
        return aiocoap.Message(payload=self.value, content_format=0)

    async def render_put(self, request):
        self.value = request.payload
        say(f"put {request.payload.decode()} {' '.join(request.opt.uri_query)}".strip())
        return aiocoap.Message(code=Code.CHANGED, payload=b"was put", content_format=0)


class Large(resource.Resource):
    async def render_get(self, request):
        return aiocoap.Message(payload=b"0123456789abcdef" * 300, content_format=42)


async def main():
    site = resource.Site()
    site.add_resource([".well-known", "core"], resource.WKCResource(site.get_resources_as_linkheader))
    site.add_resource(["state"], State())
    site.add_resource(["large"], Large())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        bind = free.getsockname()
    context = await aiocoap.Context.create_server_context(site, bind=bind, transports=["udp6"])
    links = b'</state>;rt="state",</large>'
    message = aiocoap.Message(
        code=Code.POST, uri=f"{BASE}/rd?ep={NAME}&lt=600", payload=links, content_format=40
    )
    answer = await asyncio.wait_for(context.request(message).response, 20)
    assert answer.code == Code.CREATED, answer
    say("registered at /" + "/".join(answer.opt.location_path))
    await asyncio.get_running_loop().create_future()


asyncio.run(main())
