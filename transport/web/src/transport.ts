// Ordered bytes of one connection. A transport knows nothing above bytes, and a trunk nothing below this.

export interface TransportEvents {
  /** May be called before `start` has returned. */
  bytes(bytes: Uint8Array): void;
  /** Everything that was written before has left this side's queue. */
  written(): void;
  /** Some of it has. */
  progressed(): void;
  /** Nothing more comes. `trouble` is empty when the far side has finished in order. */
  ended(trouble: string): void;
}

export interface Transport {
  /** What texts of errors call the far end. */
  readonly remote: string;
  /** Called once, before anything else. */
  start(events: TransportEvents): void;
  /** `written` follows. The bytes are the transport's. */
  write(bytes: Uint8Array): void;
  /** Holds back what arrives, where the transport can. True when it can. */
  pause(): boolean;
  resume(): void;
  /** Writes what was given to it, then ends the connection. */
  end(): void;
}

/** The members of a WebSocket that are used: the browser's, Node's and that of the package ws all have them. */
export interface WebSocketLike {
  binaryType: string;
  readonly url?: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  send(data: Uint8Array): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: string, listener: (event: never) => void): void;
}

const open = 1;
const messageBytesMax = 1 << 20;
const bufferedMax = 256 * 1024;
const pollMs = 8;

/** Binary messages carry the bytes; where one ends means nothing. */
export function webSocketTransport(socket: WebSocketLike, remote = socket.url ?? "a websocket"): Transport {
  let events: TransportEvents | undefined;
  let isOver = false;
  let waiting: Uint8Array[] = []; // before it is open
  let timer: ReturnType<typeof setTimeout> | undefined;
  let lastBuffered = 0;
  socket.binaryType = "arraybuffer";

  const over = (trouble: string): void => {
    if (isOver) return;
    isOver = true;
    if (timer !== undefined) clearTimeout(timer);
    events?.ended(trouble);
  };
  // A WebSocket does not say when it has sent something, so it is looked at.
  const watch = (): void => {
    timer = undefined;
    if (isOver) return;
    const buffered = socket.bufferedAmount;
    if (buffered <= bufferedMax) return events?.written();
    if (buffered < lastBuffered) events?.progressed();
    lastBuffered = buffered;
    timer = setTimeout(watch, pollMs);
  };
  const send = (bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length; at += messageBytesMax) socket.send(bytes.subarray(at, at + messageBytesMax));
    lastBuffered = socket.bufferedAmount;
    // Not at once: whoever writes is in the middle of something.
    if (timer === undefined) timer = setTimeout(watch, lastBuffered <= bufferedMax ? 0 : pollMs);
  };
  return {
    remote,
    start(given) {
      events = given;
      socket.addEventListener("open", () => {
        const first = waiting;
        waiting = [];
        for (const bytes of first) send(bytes);
      });
      socket.addEventListener("message", ({ data }: { data: unknown }) => {
        if (isOver) return;
        if (data instanceof ArrayBuffer) events?.bytes(new Uint8Array(data));
        else {
          socket.close(1003, "binary messages only");
          over("the far side sent a text message");
        }
      });
      socket.addEventListener("close", ({ code, reason }: { code: number; reason: string }) => {
        over(
          code === 1000 || code === 1001 || code === 1005
            ? ""
            : `the websocket was closed with ${code}${reason ? `: ${reason}` : ""}`,
        );
      });
      socket.addEventListener("error", () => {
        // A close follows, which says more.
      });
    },
    write(bytes) {
      if (isOver) return;
      if (socket.readyState === open) send(bytes);
      else waiting.push(bytes);
    },
    pause: () => false,
    resume: () => undefined,
    end() {
      if (!isOver) socket.close(1000);
    },
  };
}

/** Two ends of a connection within the process, for tests: what one writes, the other reads in a later turn. */
export function memoryTransports(): [Transport, Transport] {
  const sides: { events: TransportEvents | undefined; isPaused: boolean; arrived: Uint8Array[]; isOver: boolean }[] = [
    0, 1,
  ].map(() => ({
    events: undefined,
    isPaused: false,
    arrived: [],
    isOver: false,
  }));
  const hand = (to: number): void => {
    const side = sides[to]!;
    while (!side.isPaused && side.events && !side.isOver && side.arrived.length > 0)
      side.events.bytes(side.arrived.shift()!);
  };
  const make = (here: number): Transport => {
    const mine = sides[here]!;
    const theirs = sides[1 - here]!;
    return {
      remote: `memory ${1 - here}`,
      start(given) {
        mine.events = given;
        queueMicrotask(() => hand(here));
      },
      write(bytes) {
        if (mine.isOver || theirs.isOver) return;
        theirs.arrived.push(bytes);
        queueMicrotask(() => {
          hand(1 - here);
          mine.events?.written();
        });
      },
      pause() {
        mine.isPaused = true;
        return true;
      },
      resume() {
        mine.isPaused = false;
        queueMicrotask(() => hand(here));
      },
      end() {
        if (mine.isOver) return;
        mine.isOver = true;
        queueMicrotask(() => {
          hand(1 - here);
          if (!theirs.isOver) {
            theirs.isOver = true;
            theirs.events?.ended("");
          }
          mine.events?.ended("");
        });
      },
    };
  };
  return [make(0), make(1)];
}
