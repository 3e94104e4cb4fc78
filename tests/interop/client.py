"""The native wire of trunkline in Python's standard library, written from docs/wire.md and proto/trunk.proto alone.
Blocking and single-threaded: whoever waits pumps the socket. Credit goes back when `receive` hands a fragment out."""
import collections, os, socket

PREFACE = b"\x89TRNK\r\n\x01"
(DATA, HELLO, OPEN, ACCEPT, REFUSE, CREDIT, FINISH, FINISH_ACKNOWLEDGED, CLOSE, CLOSE_RECEIVED, RESET, PEER_METADATA,
 PEER_ENDED, PING, PONG, DRAIN, GOODBYE) = range(0x01, 0x12)
(METADATA, FIRST_OF_MORE, CONTINUES, LAST), (JOIN, START, JOIN_OR_START, START_ONLY) = (1, 2, 4, 8), range(4)
FRAME_MAX, CHUNK_MAX, COST, CIRCUIT_WINDOW, TRUNK_WINDOW = 73728, 65536, 256, 262144, 1048576
Fragment = collections.namedtuple("Fragment", "op part subject args payload err", defaults=(0, 0, b"", (), b"", b""))

def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)

def read_varint(data, at, value=0, shift=0):
    value, last = value | (data[at] & 127) << shift, data[at] < 128
    assert shift < 70 and (data[at] or not shift), "a varint that is not as short as possible"
    return (value, at + 1) if last else read_varint(data, at + 1, value, shift + 7)

def message(*fields):
    """Protobuf from (number, value): int and bool as varint, bytes and str by length; what is empty is left out."""
    out = b""
    for number, value in fields:
        value = value.encode() if isinstance(value, str) else value
        kind, encoded = (2, varint(len(value)) + value) if isinstance(value, bytes) else (0, varint(value))
        out += varint(number << 3 | kind) + encoded if value else b""
    return out

def parse(data):
    fields, at = collections.defaultdict(list), 0  # number: values, for the two wire types that occur here
    while at < len(data):
        tag, at = read_varint(data, at)
        value, at = read_varint(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        fields[tag >> 3].append(value)
    return fields

def frame(kind, body=b"", flags=0):
    return len(body).to_bytes(3, "little") + bytes([kind, flags]) + body

def data_frames(circuit, fragment, room):
    """Yields (frame, cost). Before each, `room(wanted)` waits until so much credit is there and says how much is."""
    args = [(2, message((1, key), (2, value))) for key, value in fragment.args]
    metadata, at, total = message((1, fragment.subject), *args, (3, fragment.err)), 0, len(fragment.payload)
    whole_max = min(CHUNK_MAX, FRAME_MAX - len(metadata) - 40)  # 40: no header has longer varints
    while at == 0 or at < total:
        extra = 0 if at else COST + len(metadata)
        size = min(CHUNK_MAX if at else whole_max, total - at)
        size = min(size, room(extra + (size if total <= whole_max else 1)) - extra)
        flags = CONTINUES if at else (METADATA if metadata else 0) | (FIRST_OF_MORE if size < total else 0)
        flags |= LAST if at and at + size == total else 0
        body = varint(circuit) + b"".join(varint(n << 1 ^ n >> 63) for n in (fragment.op, fragment.part) if not at)
        body += varint(total) if flags & FIRST_OF_MORE else b""
        body += varint(len(metadata)) + metadata if flags & METADATA else b""
        yield frame(DATA, body + fragment.payload[at:at + size], flags), extra + size
        at += size or 1

class Circuit:
    def __init__(self, number, window=CIRCUIT_WINDOW):
        self.number, self.window, self.due = number, window, 0          # due: consumed and not yet granted
        self.credit = self.theirs = window                              # what we may send, and what they may
        self.heard, self.taken = collections.defaultdict(list), False   # control frames by type; FINISH was answered
        self.inbox, self.partial = collections.deque(), None            # (fragment, cost); one that is not yet whole

class Trunk(Circuit):  # on the wire it is circuit 0: it has credit as one, and hears frames as one
    def __init__(self, host, port, tls=None):  # tls.py: our id is that of our key, and the Hello is bound to the session
        super().__init__(0, TRUNK_WINDOW)
        self.circuits, self.next, self.peer, connection = {0: self}, 1, os.urandom(16), socket.create_connection((host, port), 20)
        self.socket, node_id, binding = tls.secure(connection) if tls else (connection, os.urandom(16), b"")
        self.input, self.preface, self.output = b"", b"", PREFACE + frame(  # which leaves with what is said next
            HELLO, message((1, 1), (2, 1), (3, node_id), (4, "python"), (8, 4 << 20), (16, binding)))

    def say(self, kind, *fields):
        self.output += frame(kind, message(*fields))

    def open(self, service, mode=JOIN_OR_START, to=b"", answer=False, name=""):
        circuit = self.circuits[self.next] = Circuit(self.next)
        self.next += 2
        self.say(OPEN, (1, circuit.number), (2, mode), (3, self.peer), (4, "client"), (5, to), (6, service), (7, name), (9, answer))
        return circuit

    def send(self, circuit, fragment):
        def room(wanted):
            self.until(lambda: min(circuit.credit, self.credit) >= wanted)
            return min(circuit.credit, self.credit)
        for encoded, cost in data_frames(circuit.number, fragment, room):
            self.output += encoded
            circuit.credit, self.credit = circuit.credit - cost, self.credit - cost

    def receive(self, circuit):
        """The next fragment, or None when no more will come."""
        self.until(lambda: circuit.inbox or any(map(circuit.heard.get, (REFUSE, FINISH, CLOSE, CLOSE_RECEIVED, RESET))))
        fragment, cost = circuit.inbox.popleft() if circuit.inbox else (None, 0)
        self.grant(circuit, cost)
        return fragment

    def grant(self, circuit, cost):
        for each in (self, circuit):
            each.due += cost
            if each.due * 4 >= each.window:  # a grant for every fragment would be a flood of control frames
                self.say(CREDIT, (1, each.number), (2, each.due))
                each.theirs, each.due = each.theirs + each.due, 0
        if circuit.heard[FINISH] and not circuit.inbox and not circuit.taken:
            circuit.taken = self.say(FINISH_ACKNOWLEDGED, (1, circuit.number)) or True

    def until(self, holds):
        """Unless it holds already: sends what was said, and hears frames until it holds."""
        while not holds():
            self.output = self.socket.sendall(self.output) or b""
            arrived = self.socket.recv(1 << 16)
            assert arrived, f"the connection ended: {self.heard[GOODBYE]}"
            self.input += arrived
            if not self.preface and len(self.input) >= len(PREFACE):
                self.preface, self.input = self.input[:8], self.input[8:]
            while self.preface and len(self.input) >= 5 + (size := int.from_bytes(self.input[:3], "little")):
                (self.hear_data if self.input[3] == DATA else self.hear)(*self.input[3:5], self.input[5:5 + size])
                self.input = self.input[5 + size:]

    def hear_data(self, _, flags, body):
        header, at, starts = [], 0, not flags & CONTINUES
        for present in (True, starts, starts, flags & FIRST_OF_MORE, flags & METADATA):
            value, at = read_varint(body, at) if present else (0, at)
            header.append(value)
        circuit, (op, part), size = self.circuits[header[0]], (n >> 1 ^ -(n & 1) for n in header[1:3]), header[4]
        metadata, payload = parse(body[at:at + size]), body[at + size:]
        cost = size + len(payload) + (COST if starts else 0)
        circuit.theirs, self.theirs = circuit.theirs - cost, self.theirs - cost
        assert circuit.theirs >= 0 <= self.theirs and len(body) <= FRAME_MAX, "data beyond the credit or the frame"
        args = tuple((b"".join(arg[1]), b"".join(arg[2])) for arg in map(parse, metadata[2]))
        fragment = Fragment(op, part, b"".join(metadata[1]), args, payload, b"".join(metadata[3]))
        if not starts:
            fragment = circuit.partial._replace(payload=circuit.partial.payload + payload)
        if flags & (FIRST_OF_MORE | CONTINUES) and not flags & LAST:
            circuit.partial = fragment
            return self.grant(circuit, cost)  # set aside, so that the whole fragment fits, whatever the window
        circuit.inbox.append((fragment, cost))

    def hear(self, kind, _, body):
        fields = parse(body)
        number = (fields[1] or [0])[0] if OPEN <= kind <= RESET else 0
        circuit = self.circuits.setdefault(number, Circuit(number)) if kind == OPEN else self.circuits[number]
        circuit.heard[kind].append(fields)
        circuit.credit += fields[2][0] if kind == CREDIT else 0
        if kind == OPEN and fields[9]:
            self.say(ACCEPT, (1, number), (2, self.peer), (3, "client"))
        elif kind == FINISH:
            self.grant(circuit, 0)
        elif kind in (PING, CLOSE):
            self.say(PONG if kind == PING else CLOSE_RECEIVED, *((1, n) for n in fields[1]))
