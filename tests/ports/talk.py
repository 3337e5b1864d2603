#!/usr/bin/env python3
"""What the peer in Python serves and asks for in `tests/tests/python_peer.rs`.

`talk.py [--versions LOW HIGH] [SCENARIO]`: a client plays the scenario; a child plays those that it
is asked for by `python::play`.
"""
import asyncio, sys
sys.dont_write_bytecode = True
import peer
from peer import CALL, CONTEXT, Failure, WINDOW, put, whole

U64, BYTES, TEXT = "u64", "bytes", "str"
TALK = "Context<Starts<u64>,Sends<u64>,Receives<u64>>;"
go, sent, why = asyncio.Event(), 0, ""


def schema(name, signature):
    """The number on which both ends agree (section 4)."""
    number = 0xCBF29CE484222325
    for byte in name.encode() + b"\0" + signature.encode() + bytes(8):
        number = (number ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return number


# What it serves.

async def add_each(dialog):
    """Sends each value back with one added, and says how many came."""
    dialog.start(put(whole(dialog.args, U64) + 1, U64))
    count = 0
    while (value := await dialog.recv()) is not None:
        await dialog.send(put(whole(value, U64) + 1, U64))
        count += 1
    dialog.stop()
    return put(count, U64)


async def waits(dialog):
    """Waits for its end, and notes why that came: the opener's own failure, or nothing."""
    global why
    dialog.start(put(0, U64))
    try:
        await asyncio.Future()
    finally:
        cause = dialog.request[0][1]
        why = cause[1][2] if cause[0] == 3 else ""


async def tells_why(dialog):
    return put(why, TEXT)


async def left(dialog):
    """What is left of this task's own deadline, in milliseconds; 0 where it has none."""
    return put(int((dialog.deadline or 0) * 1000), U64)


async def misbehaves(dialog):
    """Announces a frame that is larger than any may be."""
    dialog.link.writer.write(b"\xff\xff\xff\xff")
    await asyncio.Future()


async def fails(dialog):
    word = whole(dialog.args, TEXT)
    raise Failure(f"failed with {word}", put(word, TEXT))


async def reverse(dialog):
    return put(whole(dialog.args, BYTES)[::-1], BYTES)


async def stalls(dialog):
    """Reads nothing before it is told to; then says how many bytes came."""
    dialog.start(put(0, U64))
    await go.wait()
    size = 0
    while (value := await dialog.recv()) is not None:
        size += len(whole(value, BYTES))
    return put(size, U64)


async def floods(dialog):
    """Sends this many values of this size as fast as it may."""
    global sent
    sent, (count, size) = 0, whole(dialog.args, (U64, U64))
    dialog.start(put(0, U64))
    for number in range(count):
        await dialog.send(put(bytes([number % 251]) * size, BYTES))
        sent += 1
    dialog.stop()
    return put(count, U64)


async def tells(dialog):
    return put(sent, U64)


async def goes(dialog):
    go.set()
    return b""


async def play(dialog):
    """A child's way to play a scenario."""
    await SCENARIOS[whole(dialog.args, TEXT)](dialog.link)
    return b""


SERVED = {"python::" + name: task for name, task in {
    "add_each": add_each, "waits": waits, "fails": fails, "reverse": reverse, "stalls": stalls,
    "floods": floods, "sent": tells, "go": goes, "play": play, "why": tells_why, "left": left,
    "misbehaves": misbehaves}.items()}


# What it asks for: the same, of the other end.

def expect(what, wanted):
    if what != wanted:
        raise AssertionError(f"{what!r:.300} is not {wanted!r:.300}")


async def call(link, name, args, signature, **more):
    name = "rust::" + name
    dialog = await link.open(name, CALL, args, schema(name, signature), **more)
    return await dialog.result()


async def context(link, name, args, signature, **more):
    name = "rust::" + name
    return await link.open(name, CONTEXT, args, schema(name, signature), **more)


async def stream(link):
    dialog = await context(link, "add_each", put(5, U64), TALK + "u64;->Result<u64>")
    expect(whole(await dialog.started(), U64), 6)
    for number in range(100):
        await dialog.send(put(number, U64))
        expect(whole(await dialog.recv(), U64), number + 1)
    dialog.stop()
    expect(await dialog.recv(), None)
    expect(await dialog.result(), (peer.RETURNED, put(100, U64), b""))


async def cancel(link):
    dialog = await context(link, "waits", b"", TALK + "->Result<u64>")
    await dialog.started()
    dialog.cancel()
    kind, (canceller, cause), _ = await dialog.result()
    expect((kind, canceller[1], cause, dialog.acked), (peer.CANCELLED, link.me[1], (0,), True))
    withdrawn = await context(link, "waits", b"", TALK + "->Result<u64>")
    withdrawn.cancel()
    expect((await withdrawn.result())[0], peer.CANCELLED)


async def deadline(link):
    dialog = await context(link, "waits", b"", TALK + "->Result<u64>", deadline=0.05)
    kind, (canceller, cause), _ = await dialog.result()
    expect((kind, canceller[1], cause), (peer.CANCELLED, link.peer[1], (1,)))


async def nested_deadline(link):
    """What the other end opens here for a task of ours has what is left of its deadline."""
    kind, value, _ = await call(link, "asks_back", b"", "->Result<u64>", deadline=5)
    left = whole(value, U64)
    expect((kind, 0 < left < 5000), (peer.RETURNED, True))


async def error(link):
    kind, report, payload = await call(link, "fails", put("salt", TEXT),
                                       "String;->Result<(),Broken>")
    expect((kind, report[2], payload), (peer.FAILED, "failed with salt", put("salt", TEXT)))
    kind, code, text, _ = await call(link, "no_such", b"", "")
    expect((kind, code), (peer.REFUSED, peer.UNKNOWN))


async def fragments(link):
    data = bytes(range(256)) * 1200
    kind, value, _ = await call(link, "reverse", put(data, BYTES), "Vec<u8>;->Vec<u8>")
    expect((kind, whole(value, BYTES) == data[::-1]), (peer.RETURNED, True))


async def credit(link):
    dialog = await context(link, "stalls", b"", "Context<Starts<u64>,Sends<Never>,"
                           "Receives<Vec<u8>>>;->Result<u64>")
    await dialog.started()
    value, count = put(bytes(1000), BYTES), 0
    while dialog.balance > 0:
        await dialog.send(value)
        count += 1
    expect(count, -(-dialog.ceiling // (len(value) + 16)))
    late = asyncio.ensure_future(dialog.send(value))
    # An answer from beyond shows that the link goes on while this send waits (P-W3).
    expect((await call(link, "sent", b"", "->u64"))[0], peer.RETURNED)
    expect(late.done(), False)
    expect((await call(link, "go", b"", ""))[0], peer.RETURNED)
    await late
    dialog.stop()
    expect(await dialog.result(), (peer.RETURNED, put((count + 1) * 1000, U64), b""))


async def flood(link):
    size, count = 4000, 400
    dialog = await context(link, "floods", put(count, U64) + put(size, U64),
                           "Context<Starts<u64>,Sends<Vec<u8>>>;u64;u64;->Result<u64>")
    await dialog.started()
    most = -(-(WINDOW - 17) // (size + 2 + 16))
    told = 0
    while told < most:
        told = whole((await call(link, "sent", b"", "->u64"))[1], U64)
        expect(told <= most, True)
    for number in range(count):
        expect(whole(await dialog.recv(), BYTES), bytes([number % 251]) * size)
    expect(await dialog.recv(), None)
    expect((await dialog.result())[:2], (peer.RETURNED, put(count, U64)))


async def serve(link):
    """Serves until the other end says `Goodbye`."""
    await link.until(lambda: link.heard or link.gone)


SCENARIOS = {task.__name__: task for task in (
    stream, cancel, deadline, nested_deadline, error, fragments, credit, flood, serve)}

def golden(file):
    """Reads every frame of a file of hex, writes what it has read, and says where that differs."""
    shapes = {peer.START: peer.BEGIN, peer.START_ACK: ("u32", "u32"), peer.ERROR: peer.FAILURE,
              peer.CANCEL: peer.REQUEST, peer.CREDIT: ("u32", peer.BOOL | {2: ()}),
              peer.GOODBYE: peer.REASON}
    count = 0
    for line in open(file):
        if line.startswith("#") or not line.strip():
            continue
        data, count = peer.io.BytesIO(bytes.fromhex(line)), count + 1
        if "specification" in file:
            expect(put(whole(data, peer.SPEC), peer.SPEC), data.getvalue())
            continue
        size, = peer.struct.unpack("<I", data.read(4))
        expect(size, len(data.getvalue()) - 4)
        kind, number = data.read(1)[0], peer.take(data, U64)
        flags = data.read(1)[0] if kind in peer.FLAGGED else 0
        begins = kind in shapes and not flags & peer.CONTINUED
        body = put(peer.take(data, shapes[kind]), shapes[kind]) if begins else b""
        expect(peer.frame(kind, number, body + data.read(), flags), data.getvalue())
    print(count)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    versions = (1, 1)
    if arguments[:1] == ["golden"]:
        sys.exit(golden(arguments[1]))
    if arguments[:1] == ["--versions"]:
        versions, arguments = tuple(map(int, arguments[1:3])), arguments[3:]
    scenario = SCENARIOS[(arguments or ["serve"])[0]]
    peer.main(lambda dialog: SERVED.get(dialog.name), scenario, versions)
