// How circuits and trunks end: a reason, which is a number on the wire, and words.

/** The reasons of docs/wire.md, and behind them outcomes that never cross the wire. */
export const reasons = {
  clean: 0,
  circuitClosed: 1,
  circuitReset: 2,
  circuitAbandoned: 3,
  peerEnded: 4,
  nodeClosed: 5,
  trunkLost: 6,
  draining: 7,
  stalled: 8,
  handlerFailed: 9,
  protocolViolationOnCircuit: 10,
  deadlinePassed: 11,
  noService: 20,
  noPeer: 21,
  serviceLimitReached: 22,
  circuitLimitReached: 23,
  openBacklogFull: 24,
  accessDenied: 25,
  protocolError: 40,
  frameTooLarge: 41,
  flowControlViolated: 42,
  tooManyControlFrames: 43,
  handshakeTimeout: 44,
  keepaliveTimeout: 45,
  writeTimeout: 46,
  versionMismatch: 47,
  notTrunkline: 48,
  dialledSelf: 49,
  duplicateTrunk: 50,
  mandatoryFeatureUnknown: 51,
  notProven: 52,
  fragmentTooLarge: 80,
  // Local outcomes.
  timedOut: 83,
  alreadyRegistered: 85,
  connectFailed: 86,
  handleMisused: 87,
} as const;

const phrases = new Map<number, string>(
  Object.entries(reasons).map(([name, number]) => [
    number,
    name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`),
  ]),
);

/** How something ended. Reason 0 is a clean end. */
export interface End {
  readonly reason: number;
  readonly text: string;
  /** The far side gave this reason. */
  readonly theirs: boolean;
  /** Of a refusal: the URL of a peer that could be joined instead; may be empty. */
  readonly existingUrl: string;
}

export function end(reason: number, text = "", theirs = false, existingUrl = ""): End {
  return { reason, text, theirs, existingUrl };
}

export const cleanEnd: End = end(reasons.clean);

/** "stalled: no answer to the close". */
export function describe(ended: End): string {
  const phrase = phrases.get(ended.reason) ?? `reason ${ended.reason}`;
  const words = ended.text ? `${phrase}: ${ended.text}` : phrase;
  return ended.theirs ? `the far side says: ${words}` : words;
}

/** Thrown where something could not be done because its circuit, peer or node has ended. */
export class TrunklineError extends Error {
  override readonly name = "TrunklineError";
  readonly end: End;

  constructor(ended: End) {
    super(describe(ended));
    this.end = ended;
  }

  /** One of `reasons`. */
  get reason(): number {
    return this.end.reason;
  }
}

export function fail(reason: number, text: string): never {
  throw new TrunklineError(end(reason, text));
}
