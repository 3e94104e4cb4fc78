"""A slow link in front of a TCP server: what comes in goes on at so many bytes a second and so much later, each way by itself.

For machines whose kernel has no netem. A direction takes no more than `held_bytes` that are not on their way yet, as a router's
queue does; what is on its way is not counted. Programs on both sides see a connection to 127.0.0.1 whose bytes take their time;
what they do not see is loss, and TCP's own windows growing.
"""

import collections
import socket
import threading
import time


class Direction(threading.Thread):
    def __init__(self, source, target, rate, delay, held_bytes):
        super().__init__(daemon=True)
        self.source, self.target, self.rate, self.delay, self.held_bytes = source, target, rate, delay, held_bytes
        self.chunks = collections.deque()  # (when it is there, bytes); empty bytes: the end
        self.changed = threading.Condition()
        self.bytes = 0
        self.writer = threading.Thread(target=self.write, daemon=True)

    def run(self):
        self.writer.start()
        free = 0.0  # when the link has sent what it was given
        while True:
            try:
                data = self.source.recv(16384)
            except OSError:
                data = b""
            now = time.monotonic()
            free = max(free, now) + len(data) / self.rate
            with self.changed:
                self.chunks.append((free + self.delay, data))
                self.changed.notify()
            if not data:
                return
            self.bytes += len(data)
            ahead = free - now - self.held_bytes / self.rate
            if ahead > 0:
                time.sleep(ahead)  # lint-allow: the link is full

    def write(self):
        while True:
            with self.changed:
                while not self.chunks:
                    self.changed.wait()
                when, data = self.chunks.popleft()
            left = when - time.monotonic()
            if left > 0:
                time.sleep(left)  # lint-allow: it is on its way
            try:
                if not data:
                    self.target.shutdown(socket.SHUT_WR)
                    return
                self.target.sendall(data)
            except OSError:  # nobody is there any more: neither does anything come from there
                try:
                    self.source.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                return


class Link:
    """Listens on `port` of 127.0.0.1 and leads to the server's port there, for as many connections as come."""

    def __init__(self, server_port, rate=100e6 / 8, delay=0.010, held_bytes=256 * 1024):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.server_port, self.rate, self.delay, self.held_bytes = server_port, rate, delay, held_bytes
        self.directions = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.server_port))
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, target in ((near, far), (far, near)):
                direction = Direction(source, target, self.rate, self.delay, self.held_bytes)
                self.directions.append(direction)
                direction.start()

    @property
    def bytes(self):
        return sum(direction.bytes for direction in self.directions)

    def close(self):
        self.listener.close()
