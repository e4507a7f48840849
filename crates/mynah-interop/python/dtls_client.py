"""CoAP over DTLS with aiocoap on DTLSSocket, which is tinydtls: puts a value, gets it, and observes it until it is "last"."""

import asyncio
import sys

from aiocoap import GET, PUT, Context, Message


async def main():
    url, identity, key = sys.argv[1:]
    client = await Context.create_client_context(transports=["tinydtls"])
    secret = {"psk": {"ascii": key}, "client-identity": {"ascii": identity}}
    client.client_credentials.load_from_dict({url.rsplit("/t/", 1)[0] + "/*": {"dtls": secret}})
    answer = await client.request(Message(code=PUT, uri=url, payload=b"first")).response
    print("put", answer.code.dotted, flush=True)
    answer = await client.request(Message(code=GET, uri=url)).response
    print("got", answer.payload.decode(), flush=True)
    request = client.request(Message(code=GET, uri=url, observe=0))
    answer = await request.response
    print("observed", answer.payload.decode(), flush=True)
    async for notification in request.observation:
        print("observed", notification.payload.decode(), flush=True)
        if notification.payload == b"last":
            break
    await client.shutdown()


asyncio.run(asyncio.wait_for(main(), 30))
