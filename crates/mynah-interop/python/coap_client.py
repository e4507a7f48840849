"""aiocoap against the broker: `coap_client.py URI SCENARIO [CA]`. Says what it expects, and `SCENARIO: ok` at the end."""

import asyncio
import sys

import aiocoap
from aiocoap.numbers.codes import Code

BASE = sys.argv[1]


async def context():
    context = await aiocoap.Context.create_client_context()
    if len(sys.argv) > 3:
        tls = {"tlscert": {"certfile": sys.argv[3]}}
        context.client_credentials.load_from_dict({BASE + "/*": tls})
    return context


async def ask(context, code, path, payload=b"", **options):
    message = aiocoap.Message(code=code, uri=BASE + path, payload=payload, **options)
    response = await asyncio.wait_for(context.request(message).response, 20)
    if response.code == Code.UNAUTHORIZED and response.opt.echo is not None:
        # Who sends datagrams has to show that the address is its own (RFC 9175, section 2.4).
        message = aiocoap.Message(code=code, uri=BASE + path, payload=payload, **options)
        message.opt.echo = response.opt.echo
        response = await asyncio.wait_for(context.request(message).response, 20)
    return response


async def values():
    """A value is put, read, checked by its tag and deleted; what is not there has no methods."""
    client = await context()
    put = await ask(client, Code.PUT, "/t/home/lamp", b"on", content_format=0)
    assert put.code == Code.CREATED, put
    put = await ask(client, Code.PUT, "/t/home/lamp", b"off", content_format=0)
    assert put.code == Code.CHANGED, put
    got = await ask(client, Code.GET, "/t/home/lamp")
    assert (got.code, got.payload, got.opt.content_format) == (Code.CONTENT, b"off", 0), got
    same = await ask(client, Code.GET, "/t/home/lamp", etags=[got.opt.etag])
    assert (same.code, same.payload) == (Code.VALID, b""), same
    for code in (Code.PATCH, Code.iPATCH, Code.FETCH):
        refused = await ask(client, code, "/t/home/lamp", b"{}")
        assert refused.code == Code.METHOD_NOT_ALLOWED, refused
    assert (await ask(client, Code.DELETE, "/t/home/lamp")).code == Code.DELETED
    assert (await ask(client, Code.GET, "/t/home/lamp")).code == Code.NOT_FOUND
    links = await ask(client, Code.GET, "/.well-known/core")
    assert b"</t>" in links.payload, links.payload
    await client.shutdown()


async def large():
    """Larger bodies go in blocks where messages have bounds."""
    client = await context()
    body = bytes(range(256)) * 120
    assert (await ask(client, Code.PUT, "/t/large", body)).code == Code.CREATED
    got = await ask(client, Code.GET, "/t/large")
    assert got.payload == body, len(got.payload)
    await client.shutdown()


async def observe():
    """An observer gets the state there was and each that comes."""
    client = await context()
    await ask(client, Code.PUT, "/t/door", b"shut", content_format=0)
    message = aiocoap.Message(code=Code.GET, uri=BASE + "/t/door", observe=0)
    request = client.request(message)
    first = await asyncio.wait_for(request.response, 20)
    assert first.payload == b"shut", first
    states = request.observation.__aiter__()
    for state in (b"open", b"shut", b"ajar"):
        await ask(client, Code.PUT, "/t/door", state, content_format=0)
        notification = await asyncio.wait_for(states.__anext__(), 20)
        assert notification.payload == state, notification
    request.observation.cancel()
    await client.shutdown()


async def fetch():
    """FETCH with filters observes what they select."""
    client = await context()
    # {"filters": ["things/#"]}
    filters = b"\xa1\x67filters\x81\x68things/#"
    message = aiocoap.Message(
        code=Code.FETCH, uri=BASE + "/t", payload=filters, content_format=60, observe=0
    )
    request = client.request(message)
    first = await asyncio.wait_for(request.response, 20)
    assert (first.code, first.payload) == (Code.CONTENT, b"\xa0"), first
    things = request.observation.__aiter__()
    await ask(client, Code.POST, "/t/things/7", b"hello", content_format=0)
    notification = await asyncio.wait_for(things.__anext__(), 20)
    assert b"things/7" in notification.payload and b"hello" in notification.payload, notification
    request.observation.cancel()
    await client.shutdown()


async def conditions():
    """Writers are kept apart by tags, what is too large is refused early, and Max-Age and Size2 are said."""
    client = await context()
    put = await ask(client, Code.PUT, "/t/c", b"1", content_format=0, if_none_match=True)
    assert put.code == Code.CREATED, put
    put = await ask(client, Code.PUT, "/t/c", b"2", content_format=0, if_none_match=True)
    assert put.code == Code.PRECONDITION_FAILED, put
    tag = (await ask(client, Code.GET, "/t/c")).opt.etag
    put = await ask(client, Code.PUT, "/t/c?expiry=600", b"3", content_format=0, if_match=[b"x", tag])
    assert put.code == Code.CHANGED, put
    put = await ask(client, Code.PUT, "/t/c", b"4", content_format=0, if_match=[tag])
    assert put.code == Code.PRECONDITION_FAILED, put
    got = await ask(client, Code.GET, "/t/c", accept=0, size2=0)
    assert (got.payload, got.opt.size2) == (b"3", 1) and 300 < got.opt.max_age <= 600, got
    assert (await ask(client, Code.GET, "/t/c", accept=50)).code == Code.NOT_ACCEPTABLE
    refused = await ask(client, Code.PUT, "/t/c", b"5", size1=2_000_000)
    assert (refused.code, refused.opt.size1) == (Code.REQUEST_ENTITY_TOO_LARGE, 1 << 20), refused
    refused = await ask(client, Code.GET, "/t/c", proxy_scheme="coap")
    assert refused.code == Code.PROXYING_NOT_SUPPORTED, refused
    await client.shutdown()


async def crowded():
    """More bodies at a time than one peer may send are refused with a time to wait; Request-Tag tells them apart."""
    client = await context()

    async def begin(number):
        message = aiocoap.Message(code=Code.PUT, uri=BASE + "/t/crowd", payload=bytes(64))
        message.opt.block1, message.opt.request_tag = (0, True, 2), [bytes([number])]
        request = client.request(message, handle_blockwise=False)
        return await asyncio.wait_for(request.response, 20)

    codes = [(await begin(number)).code for number in range(2)]
    assert codes == [Code.CONTINUE] * 2, codes
    refused = await begin(2)
    assert (refused.code, refused.opt.max_age) == (Code.TOO_MANY_REQUESTS, 5), refused
    assert (await begin(1)).code == Code.CONTINUE
    await client.shutdown()


async def stream():
    """In stream mode an observer gets every message, however fast they come."""
    client = await context()
    message = aiocoap.Message(code=Code.GET, uri=BASE + "/t/stream?mode=stream", observe=0)
    request = client.request(message)
    first = await asyncio.wait_for(request.response, 20)
    assert first.code == Code.CONTENT, first
    # Iterating would leave out what a newer one has overtaken.
    got, complete = [], asyncio.Event()

    def take(notification):
        got.append(notification.payload)
        if len(got) == 20:
            complete.set()

    request.observation.register_callback(take)
    sent = [b"%d" % number for number in range(20)]
    for payload in sent:
        await ask(client, Code.POST, "/t/stream", payload, content_format=0)
    await asyncio.wait_for(complete.wait(), 20)
    assert got == sent, got
    request.observation.cancel()
    await client.shutdown()


asyncio.run(globals()[sys.argv[2]]())
print(f"{sys.argv[2]}: ok")
