// A trunk over one of Node.js's sockets (tcp, unix), for programs outside a browser. Import it from "trunkline-
// web/node".
import type { Socket } from "node:net";
import type { Transport, TransportEvents } from "./transport.ts";

export function socketTransport(
  socket: Socket,
  remote = `${socket.remoteAddress ?? "socket"}:${socket.remotePort ?? 0}`,
): Transport {
  let events: TransportEvents | undefined;
  let trouble = "";
  let isOver = false;
  const over = (): void => {
    if (isOver) return;
    isOver = true;
    events?.ended(trouble);
  };
  return {
    remote,
    start(given) {
      events = given;
      socket.setNoDelay(true);
      socket.on("data", (bytes: Uint8Array) => {
        if (!isOver) given.bytes(bytes);
      });
      socket.on("error", (failure) => (trouble = failure.message));
      socket.on("end", over);
      socket.on("close", over);
    },
    write(bytes) {
      if (isOver) return;
      socket.write(bytes, () => {
        if (!isOver) events?.written();
      });
    },
    pause() {
      socket.pause();
      return true;
    },
    resume() {
      socket.resume();
    },
    end() {
      socket.end();
      socket.unref();
    },
  };
}
