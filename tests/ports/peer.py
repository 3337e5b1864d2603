"""A peer of the hatchery protocol in plain Python, written from proto/SPEC.md alone.

`main` makes a child of a process that an actor started, and else the dialing end of the link at
descriptor 0. What it serves and what it asks for is its caller's; `talk.py` is one.
"""
import asyncio, collections, io, os, signal, socket, struct, sys

(HELLO, START, START_ACK, STARTED, YIELD, STOP, RETURN, ERROR, CANCEL, CANCEL_ACK, CREDIT, PING,
 PONG, GOODBYE) = range(1, 15)
FLAGGED, MORE, CONTINUED = (START, STARTED, YIELD, RETURN), 1, 2
MAX_FRAME, MAX_MESSAGE, MAX_DIALOGS, WINDOW = 65600, 4 << 20, 4096, 256 << 10
(CALL, STREAM, CONTEXT, ACTOR), (UNKNOWN, BAD_ARGUMENTS, SHUTTING_DOWN) = range(4), (0, 4, 6)
REFUSED, CANCELLED, FAILED, RETURNED, LOST = range(5)  # outcomes: three failures, and what else

class Violation(Exception): """The other end broke the protocol."""
class Failure(Exception): """A task's own error, and its typed form."""

# Bodies (sections 2 and 4). A shape is a tuple of fields, a list of one shape for any number of it,
# a dict of variants for an enum, or a name. Options and bools are enums of 0 and 1.
def option(shape): return {0: (), 1: (shape,)}
BOOL, SPAN, TEXTS, ID = {0: (), 1: ()}, ("u64", "u32"), ["str"], ("str", "u128", "u32")
EXIT = (ID, option({0: ("i32",), 1: ("i32", BOOL)}), "u32", [("u32", SPAN)], option(ID), BOOL, TEXTS,
        "str", "str", "str", BOOL, option((SPAN, SPAN)))
REPORT = (("u128", "u64"), "u32", "str", TEXTS, "str", option(("str", "u32", "u32")), option("str"),
          ID, [(ID, "str")], option(ID), option(EXIT), [(ID, "str", "str")], BOOL)
BY = (ID, {**{plain: () for plain in range(8)}, 3: (REPORT,), 8: ("i32",)})
FAILURE = {REFUSED: ("u32", "str"), CANCELLED: (BY,), FAILED: (REPORT,)}
BEGIN = ("str", "u32", "u64", "u8", "u32", option(SPAN), option("bytes"))
REQUEST, REASON = (BY, SPAN), {0: (), 1: (), 2: (), 3: ("str",)}
SPEC = (ID, option("str"), BOOL, {0: (), 1: (TEXTS,)}, SPAN, ("u32", "u32", "u32", "u32"),
        option(("str", "u64", "bytes")), TEXTS, [("str", option("u128"))], "bytes")
def refuse(rule, broken):
    if broken:
        raise Violation(rule)

def raw(data, size):
    part = data.read(size)
    refuse("P-F4: cut short", len(part) < size)
    return part
def take(data, shape):
    if isinstance(shape, tuple):
        return tuple(take(data, part) for part in shape)
    if isinstance(shape, list):
        return [take(data, shape[0]) for _ in range(take(data, "u64"))]
    if isinstance(shape, dict):
        return ((number := take(data, "u32")), *take(data, shape[number]))
    if shape in ("str", "bytes"):
        part = raw(data, take(data, "u64"))
        return part.decode() if shape == "str" else part
    if shape == "u8":
        return raw(data, 1)[0]
    number, shift, byte = 0, 0, 0x80
    while byte & 0x80:
        byte = raw(data, 1)[0]
        number, shift = number | (byte & 0x7F) << shift, shift + 7
    refuse("P-F4: a number too long", number >> int(shape[1:]) or byte == 0 and shift > 7)
    return number >> 1 ^ -(number & 1) if shape[0] == "i" else number
def put(value, shape):
    if isinstance(shape, tuple):
        return b"".join(map(put, value, shape))
    if isinstance(shape, list):
        return put(len(value), "u64") + b"".join(put(one, shape[0]) for one in value)
    if isinstance(shape, dict):
        return put(value[0], "u32") + put(value[1:], shape[value[0]])
    if shape in ("str", "bytes"):
        part = value.encode() if shape == "str" else value
        return put(len(part), "u64") + part
    if shape == "u8":
        return bytes([value])
    value, out = (value << 1 ^ value >> 31 if shape[0] == "i" else value), b""
    while value > 0x7F:
        value, out = value >> 7, out + bytes([value & 0x7F | 0x80])
    return out + bytes([value])
def whole(data, shape):
    value = take(data := io.BytesIO(data) if isinstance(data, bytes) else data, shape)
    refuse("P-F4: bytes trail behind it", data.read(1))
    return value

def span(seconds): return int(seconds), int(seconds % 1 * 1e9)
def frame(kind, number, body=b"", flags=0):
    content = bytes([kind]) + put(number, "u64") + bytes([flags] * (kind in FLAGGED)) + body
    return struct.pack("<I", len(content)) + content

class Dialog:
    """One dialog, at either end."""
    def __init__(self, link, number, ours, kind=CALL, name=""):
        self.link, self.number, self.ours, self.kind, self.name = link, number, ours, kind, name
        self.balance = self.ceiling = self.args_cost = self.owed = self.acks_due = 0
        self.allowance, self.inbox, self.finished = WINDOW, collections.deque(), False
        self.partial = self.first = self.request = self.task = self.outcome = self.deadline = None
        self.begun = self.live = self.accepted = self.stopped = self.done = self.acked = False
    async def until(self, ready):
        await self.link.until(lambda: ready() or self.outcome)
        return ready()
    # Both ends.
    async def send(self, payload):
        if not await self.until(lambda: self.balance > 0 or self.done) or self.done:
            raise Failure("the peer takes no more", b"")
        self.balance -= self.link.message(self, YIELD, payload)
    def stop(self): self.link.data(self, STOP)
    async def recv(self):
        """The next value, or nothing at the end."""
        await self.until(lambda: self.inbox or self.stopped)
        value, cost = self.inbox.popleft() if self.inbox else (None, 0)
        self.consumed(cost)
        return value
    def consumed(self, cost):
        self.owed += cost
        dead = self.outcome or self.finished or not self.ours and self.request
        if self.owed >= WINDOW // 2 and not dead:
            self.link.control(CREDIT, self.number, put(self.owed, "u32") + b"\0")
            self.allowance, self.owed = self.allowance + self.owed, 0
    # The opener's end.
    async def started(self):
        first, cost = await self.until(lambda: self.first) or (None, 0)
        self.consumed(cost)
        return first
    async def result(self):
        await self.until(lambda: False)
        return self.outcome
    def cancel(self, grace=2.0):
        request = ((self.link.me, (0,)), span(grace))
        self.link.waiting.pop(self.number, None)
        if not self.begun:  # P-W4: it is not written at all
            return self.end((CANCELLED, request[0], b""))
        self.request, self.acks_due = request, self.acks_due + 1
        self.link.control(CANCEL, self.number, put(request, REQUEST))
    def end(self, outcome):
        self.outcome, _ = outcome, self.link.waiting.pop(self.number, None)
        self.link.dialogs.pop(self.number, None)
    # The callee's end.
    def start(self, payload=b""):
        self.live, self.balance = True, self.balance - self.link.message(self, STARTED, payload)
    def fail(self, failure, payload=b""):
        self.finished = True
        self.link.data(self, ERROR, put(failure, FAILURE) + payload)
    async def run(self, task):
        if self.deadline:
            asyncio.get_running_loop().call_later(self.deadline, self.ask, ((self.link.me, (1,)),))
        try:
            value, self.finished = await task(self), True
            self.link.message(self, RETURN, value)
        except asyncio.CancelledError:
            self.fail((CANCELLED, self.request[0]))
        except Exception as error:  # whatever a task raises is its failure
            message, payload = error.args if isinstance(error, Failure) else (repr(error), b"")
            me, no, text = self.link.me, (0,), message[:8000]
            report = (me[1], self.number), 0, text, [], "", no, no, me, [], no, no, [], no
            self.fail((FAILED, report), payload)
        self.link.leave(None if self.number else (0,))
    def ask(self, request):
        if not self.request and not self.finished:
            self.request = request
            self.task.cancel()

class Link:
    def __init__(self, role, me, serve, parent=False, versions=(1, 1)):
        self.role, self.me, self.serve, self.parent = role, me, serve, parent
        self.versions, self.news, self.gone, self.up = versions, asyncio.Event(), None, False
        self.controls, self.waiting = collections.deque(), collections.OrderedDict()
        self.dialogs, self.highest, self.next, self.leaving, self.heard = {}, -1, 2 - role, 0, 0
        self.max_frame, self.max_message, self.said, self.ending = 512, 0, False, False
    async def live(self, sock):
        """Speaks until the link has ended; says why it did."""
        sock.setblocking(False)
        self.reader, self.writer = await asyncio.open_connection(sock=sock)
        fields = ((1, put(self.me, ID)), (2, bytes([self.role])),
                  (3, put((MAX_FRAME, MAX_MESSAGE, MAX_DIALOGS), ("u32", "u32", "u32"))))
        fields = b"".join(struct.pack("<BH", tag, len(field)) + field for tag, field in fields)
        self.writer.write(frame(HELLO, 0, b"HTCH" + struct.pack("<HH", *self.versions) + fields))
        loops = [asyncio.ensure_future(self.read()), asyncio.ensure_future(self.write())]
        await self.until(lambda: self.gone or self.said and self.heard and not self.dialogs)
        for dialog in list(self.dialogs.values()):
            dialog.ask(((self.me, (6,)),)) if dialog.task else dialog.end((LOST, self.gone, b""))
        loops[0].cancel(), loops[1].cancel()
        self.news.set()
        self.writer.close()
        return self.gone or "left"
    def leave(self, reason):
        self.leaving = self.leaving or reason
        self.news.set()
    async def until(self, ready):
        while not ready():
            self.news.clear()
            await self.news.wait()
    # Out (P-W4): control frames first, then a frame of each dialog in turn, `Goodbye` last.
    def control(self, kind, number, body=b""):
        self.controls.append(frame(kind, number, body))
        self.news.set()
    def data(self, dialog, kind, body=b"", flags=0):
        part = (frame(kind, dialog.number, body, flags), kind, flags)
        self.waiting.setdefault(dialog.number, collections.deque()).append(part)
        self.news.set()
    def message(self, dialog, kind, payload, head=b""):
        """Queues a message in fragments; says what it costs (P-F3, P-W1)."""
        if len(payload) > self.max_message:
            raise Failure(f"{len(payload)} bytes are more than {self.max_message}", b"")
        cost, flags = 0, 0
        while payload or not cost:
            room = self.max_frame - 64 - len(head)
            part, payload = payload[:room], payload[room:]
            self.data(dialog, kind, head + part, flags | (MORE if payload else 0))
            head, cost, flags = b"", cost + len(part) + 16, CONTINUED
        return cost
    async def write(self):
        def waits(): return self.waiting or self.leaving and not self.said
        while True:
            await self.until(lambda: self.controls or self.up and waits())
            if self.controls:
                out = self.controls.popleft()
            elif self.waiting:
                number, parts = self.waiting.popitem(last=False)
                out, kind, flags = parts.popleft()
                self.dialogs[number].begun = True
                if parts:
                    self.waiting[number] = parts
                elif kind == ERROR or kind == RETURN and not flags & MORE:
                    del self.dialogs[number]
            else:
                out, self.said = frame(GOODBYE, 0, put(self.leaving, REASON)), True
            self.writer.write(out)
            await self.writer.drain()
            self.news.set()
    async def open(self, name, kind, args=b"", schema=0, deadline=None):
        await self.until(lambda: self.up or self.gone)
        dialog = self.dialogs[self.next] = Dialog(self, self.next, True, kind, name)
        self.next, left = self.next + 2, (1, span(deadline)) if deadline else (0,)
        head = put((name, kind, schema, 0, WINDOW, left, (0,)), BEGIN)
        dialog.args_cost = self.message(dialog, START, args, head)
        return dialog
    # In.
    async def read(self):
        try:
            while True:
                size, = struct.unpack("<I", await self.reader.readexactly(4))
                refuse(f"P-F2: a frame of {size} bytes", not 0 < size <= self.max_frame)
                self.frame(io.BytesIO(await self.reader.readexactly(size)))
                self.news.set()
        except (EOFError, OSError) as error:
            self.gone = f"the link ended: {error}"
        except (Violation, LookupError, UnicodeError) as error:
            self.gone, told = f"violation: {error}", str(error) if self.up else str(error)[:4]
            self.writer.write(frame(GOODBYE, 0, put((3, told), REASON)))  # P-L6, P-A6
        self.news.set()
    def frame(self, body):
        kind, number = raw(body, 1)[0], take(body, "u64")
        if (self.up, kind, number) == (False, HELLO, 0):
            return self.hello(body)
        refuse("P-L1: `Hello` comes first, and once", not self.up or kind == HELLO)
        flags = raw(body, 1)[0] if kind in FLAGGED else 0
        refuse("P-F4: flags or kind", flags > 3 or 14 < kind < 0x80 or kind == 0)
        refuse("P-F4: of no dialog", kind in (PING, PONG, GOODBYE) and number)
        if kind == PING:
            self.control(PONG, len(whole(body, ())))
        elif kind == PONG or kind >= 0x80: pass
        elif kind == GOODBYE and not self.heard:
            self.heard, self.ending = whole(body, REASON), True
            self.leave((1,))
            refuse(f"we are told: {self.heard[1:]}", self.heard[0] == 3)
        elif kind == START and not flags & CONTINUED:
            self.on_start(number, flags, body)
        elif number in self.dialogs and (self.dialogs[number].begun or number & 1 != self.role):
            self.on_dialog(self.dialogs[number], kind, flags, body)
        else:
            late = kind in (START, YIELD, STOP, CANCEL, CREDIT) and number <= self.highest
            refuse(f"P-D5: no dialog {number} is open", number & 1 == self.role or not late)
    def hello(self, body):
        (magic, *theirs), ours = struct.unpack("<4sHH", raw(body, 8)), self.versions
        if magic != b"HTCH" or min(theirs[1], ours[1]) < max(theirs[0], ours[0]):
            ranges = "we speak {} to {}, the peer {} to {}".format(*ours, *theirs)
            raise Violation(f"P-L1: no version in common: {ranges}")
        fields = {}
        while head := body.read(3):
            fields[head[0]] = raw(body, int.from_bytes(head[1:], "little"))
        self.peer, limits = whole(fields[1], ID), whole(fields[3], ("u32", "u32", "u32"))
        refuse("P-L1: equal roles", fields[2][0] == self.role)
        refuse("P-F2: frames below the floor", limits[0] < 1024)
        self.max_frame, self.max_message = min(limits[0], MAX_FRAME), min(limits[1], MAX_MESSAGE)
        self.up = True
    def on_start(self, number, flags, body):
        theirs = number & 1 != self.role and (self.highest >= 0 or not self.parent)
        refuse("P-D1, P-L2: not the peer's to open", not (theirs if number else self.parent))
        refuse("P-D1, P-L3: open before, or `Goodbye`", number <= self.highest or self.heard)
        name, kind, _, codec, credit, left, _ = take(body, BEGIN)
        dialog = self.dialogs[number] = Dialog(self, number, False, kind, name)
        self.highest, dialog.balance, dialog.ceiling = number, credit, credit
        dialog.deadline = left[1][0] + left[1][1] / 1e9 if left[0] else None
        if self.ending or codec:
            dialog.fail((REFUSED, SHUTTING_DOWN if self.ending else BAD_ARGUMENTS, ""))
        self.on_args(dialog, flags, body)
    def on_args(self, dialog, flags, body):
        message = self.assemble(dialog, START, flags, body)
        if not message or dialog.finished:
            return
        (dialog.args, cost), task = message, self.serve(dialog)
        dialog.allowance -= cost
        if not task:
            return dialog.fail((REFUSED, UNKNOWN, f"`{dialog.name}` is not known here"))
        self.control(START_ACK, dialog.number, put((dialog.kind, WINDOW), ("u32", "u32")))
        dialog.consumed(0 if dialog.kind == CALL else cost)
        dialog.task = asyncio.ensure_future(dialog.run(task))
    def assemble(self, dialog, kind, flags, body):
        payload, (began, before, cost) = body.read(), dialog.partial or (kind, b"", 0)
        continued = bool(flags & CONTINUED) == bool(dialog.partial) and began == kind
        refuse("P-F3: it breaks into a message, or continues none", not continued)
        refuse("P-F3: the message is too long", len(before) + len(payload) > MAX_MESSAGE)
        if kind in (STARTED, YIELD):
            refuse("P-W1: without credit", dialog.allowance <= 0 and not flags & CONTINUED)
            dialog.allowance -= len(payload) + 16
        message = (kind, before + payload, cost + len(payload) + 16)
        dialog.partial = message if flags & MORE else None
        return None if flags & MORE else message[1:]
    def on_dialog(self, dialog, kind, flags, body):
        own = (START_ACK, STARTED, RETURN, ERROR, CANCEL_ACK) if dialog.ours else (START, CANCEL)
        refuse(f"P-D2: kind {kind} is not its sender's", kind not in (*own, YIELD, STOP, CREDIT))
        live = dialog.first or dialog.kind == STREAM if dialog.ours else dialog.live
        refuse("P-D3, P-D6: no stream", kind in (YIELD, STOP) and (dialog.stopped or not live))
        if kind == START:
            self.on_args(dialog, flags, body)
        elif kind == START_ACK:
            said, dialog.ceiling = whole(body, ("u32", "u32"))
            refuse("P-D2, P-D6: `StartAck`", dialog.accepted or said != dialog.kind)
            dialog.accepted, dialog.balance = True, dialog.ceiling - dialog.args_cost
        elif kind == STARTED:
            refuse("P-D2: `Started`", not dialog.accepted or dialog.kind in (CALL, STREAM))
            refuse("P-D6: `Started` twice", dialog.first)
            dialog.first = self.assemble(dialog, kind, flags, body)
        elif kind == YIELD and (message := self.assemble(dialog, kind, flags, body)):
            dialog.inbox.extend([] if dialog.finished else [message])
        elif kind == STOP:
            dialog.stopped = not whole(body, ())
        elif kind == RETURN and (message := self.assemble(dialog, kind, flags, body)):
            dialog.end((RETURNED, message[0], b""))
        elif kind == ERROR:
            dialog.end((*take(body, FAILURE), body.read()))
        elif kind == CANCEL:
            request, dialog.partial, dialog.live = whole(body, REQUEST), None, False
            if dialog.task and not dialog.finished:
                self.control(CANCEL_ACK, dialog.number)
                dialog.ask(request)
            elif not dialog.finished:  # the arguments never will be whole
                dialog.fail((CANCELLED, request[0]))
        elif kind == CANCEL_ACK:
            dialog.acks_due, dialog.acked = dialog.acks_due - 1, whole(body, ()) == ()
            refuse("P-C1: no cancel waits for it", dialog.acks_due < 0)
        elif kind == CREDIT:
            credit, (done,) = whole(body, ("u32", BOOL | {2: ()}))
            dialog.balance, dialog.done = dialog.balance + credit, dialog.done or done
            refuse("P-W1: too much given back", dialog.balance > dialog.ceiling)

# Processes (section 10).
def inherited():
    """The link of a process that was started as an actor, and the real standard error."""
    parent, _, inode = os.environ.get("HATCHERY_ACTOR", "0:0:0").split(":")
    if (int(parent), int(inode)) != (os.getppid(), os.fstat(0).st_ino):
        return None
    link = socket.socket(fileno=os.dup(0))
    link.settimeout(5)
    byte, streams, *_ = socket.recv_fds(link, 1, 2)
    if byte != b"H" or len(streams) != 2:
        sys.exit("the parent is gone" if not byte else "the link does not begin as it should")
    os.dup2(streams[0], 0)
    signal.signal(signal.SIGINT, lambda *_: None)
    return link, streams[1]

def life(stderr, serve):
    """The task of dialog 0: serves until it is cancelled, or runs the one main task."""
    async def live(dialog):
        main = whole(dialog.args, SPEC)[6]
        os.write(stderr, open("/proc/self/fd/2", "rb").read())
        os.dup2(stderr, 2)
        dialog.start()
        try:
            if not main[0]:
                await asyncio.Future()
            dialog.name, _, dialog.args = main[1]
            return await serve(dialog)(dialog)
        finally:  # P-C7: every task ends, and then the actor
            dialog.link.ending = True
            others = [one for one in dialog.link.dialogs.values() if one.task and one is not dialog]
            for one in others:
                one.ask(dialog.request or ((dialog.link.me, (7,)),))
            await dialog.link.until(lambda: all(one.finished for one in others))
    return live

def main(serve, script, versions):
    """A child that serves; or a client that does what `script` says and then leaves."""
    async def run():
        entry = inherited()
        sock, stderr = entry or (socket.socket(fileno=os.dup(0)), None)
        uuid = int.from_bytes(os.urandom(16), "little")
        me = os.environ.get("HATCHERY_NAME", "python"), uuid, os.getpid()
        def known(dialog): return serve(dialog) if dialog.number else life(stderr, serve)
        link = Link(1 if entry else 0, me, known, bool(entry), versions)
        speaking = asyncio.ensure_future(link.live(sock))
        if not entry:
            await script(link)
            link.leave((1,))
        return f"{me[0]}: {why}" if (why := await speaking).startswith("violation") else 0
    sys.exit(asyncio.run(run()))
