"""A WebSocket of Debian's python3-websockets as a socket that client.py can use: sendall, recv and no more."""
import asyncio

try:
    import websockets
except ImportError:  # the checks over WebSocket are then skipped, and say so
    websockets = None


LOOP = asyncio.new_event_loop()
asyncio.set_event_loop(LOOP)

MESSAGE_BYTES_MAX = 1 << 20  # docs/browser.md; where a message ends means nothing


class WebSocket:
    def __init__(self, host, port):
        self.loop, self.close_code = LOOP, None
        self.input = b""
        self.connection = self.loop.run_until_complete(websockets.connect(
            f"ws://{host}:{port}/", subprotocols=["trunkline"], compression=None, max_size=None, ping_interval=None))
        assert self.connection.subprotocol == "trunkline"

    def sendall(self, data):
        for start in range(0, len(data), MESSAGE_BYTES_MAX):
            try:
                self.loop.run_until_complete(self.connection.send(data[start:start + MESSAGE_BYTES_MAX]))
            except websockets.ConnectionClosed:
                pass  # what had come before is still to be read, and then its end

    def recv(self, size):
        while not self.input:
            try:
                message = self.loop.run_until_complete(asyncio.wait_for(self.connection.recv(), 20))
            except websockets.ConnectionClosed as end:
                self.close_code = end.rcvd.code if end.rcvd else None
                return b""
            assert isinstance(message, bytes), "a text message"
            self.input += message
        taken, self.input = self.input[:size], self.input[size:]
        return taken


class Module:
    """Stands where client.py has the module `socket`."""
    @staticmethod
    def create_connection(address, _timeout):
        return WebSocket(*address)
