// What bounds one trunk. docs/limits.md says what each is for; bytes and milliseconds.
import { assumedLimits, controlBytesMax, type FarLimits } from "../frames.ts";

export interface Limits {
  fragmentBytesMax: number;
  trunkMemoryBytesMax: number;
  circuitWindowBytesMax: number;
  errorsUnreadBytesMax: number;
  sendQueueBytesMax: number;
  circuitsMax: number;
  circuitStringsBytesMax: number;
  openBacklogMax: number;
  emptyFramesMax: number;
  pingsAnsweredPerSecondMax: number;
  pingsPerSecondMax: number;
  unknownFramesPerMinuteMax: number;
  cancelledOpensPerSecondMax: number;
  controlFramesPerSecondMax: number;
  metadataBytesMax: number;
  remotePeersMax: number;
  remoteMetadataBytesMax: number;
  nameBytesMax: number;
  userStringBytesMax: number;
  reasonBytesMax: number;
  /** Bytes that have arrived and wait while a far side that says too much is held back. */
  heldInputBytesMax: number;
  handshakeDeadline: number;
  keepaliveInterval: number;
  writeDeadline: number;
  stallDeadline: number;
  goodbyeDeadline: number;
}

export const defaultLimits: Readonly<Limits> = {
  fragmentBytesMax: 4 << 20,
  trunkMemoryBytesMax: 16 << 20,
  circuitWindowBytesMax: 4 << 20,
  errorsUnreadBytesMax: 64 << 10,
  sendQueueBytesMax: 4 << 20,
  circuitsMax: 16384,
  circuitStringsBytesMax: 4 << 20,
  openBacklogMax: 16384,
  emptyFramesMax: 10,
  pingsAnsweredPerSecondMax: 10,
  pingsPerSecondMax: 100,
  unknownFramesPerMinuteMax: 100,
  cancelledOpensPerSecondMax: 200,
  controlFramesPerSecondMax: 10000,
  metadataBytesMax: 4096,
  remotePeersMax: 4096,
  remoteMetadataBytesMax: 4 << 20,
  nameBytesMax: 128,
  userStringBytesMax: 1024,
  reasonBytesMax: 256,
  heldInputBytesMax: 8 << 20,
  handshakeDeadline: 5000,
  keepaliveInterval: 15000,
  writeDeadline: 20000,
  stallDeadline: 60000,
  goodbyeDeadline: 1000,
};

const minima: Partial<Limits> = {
  fragmentBytesMax: 1,
  trunkMemoryBytesMax: 2 << 20,
  circuitWindowBytesMax: 262144,
  sendQueueBytesMax: 1,
  cancelledOpensPerSecondMax: 1,
  controlFramesPerSecondMax: 1,
  pingsPerSecondMax: 1,
};
const maxima: Partial<Limits> = {
  fragmentBytesMax: 1 << 30,
  circuitWindowBytesMax: 1 << 30,
  metadataBytesMax: controlBytesMax / 2,
  nameBytesMax: 128,
  userStringBytesMax: 1024,
  reasonBytesMax: 1024,
};

/** The limits with their defaults. Throws a RangeError that names a value which cannot work. */
export function checkedLimits(given: Partial<Limits> = {}): Limits {
  const limits: Limits = { ...defaultLimits, ...given };
  for (const name of Object.keys(defaultLimits) as (keyof Limits)[]) {
    const least = minima[name] ?? 0;
    const most = maxima[name] ?? Infinity;
    if (!(limits[name] >= least && limits[name] <= most))
      throw new RangeError(`${name} is ${limits[name]}, expected ${least} to ${most}`);
  }
  // Half of the memory reassembles: room for two of the largest fragments, so that one stalled there delays no other.
  limits.trunkMemoryBytesMax = Math.max(limits.trunkMemoryBytesMax, 4 * limits.fragmentBytesMax);
  return limits;
}

/** What a Hello says of them. */
export function taken(limits: Limits): FarLimits {
  return {
    ...assumedLimits,
    fragmentBytesMax: limits.fragmentBytesMax,
    circuitsMax: limits.circuitsMax,
    nameBytesMax: limits.nameBytesMax,
    userStringBytesMax: limits.userStringBytesMax,
    metadataBytesMax: limits.metadataBytesMax,
    remotePeersMax: limits.remotePeersMax,
    remoteMetadataBytesMax: limits.remoteMetadataBytesMax,
    controlFramesPerSecondMax: limits.controlFramesPerSecondMax,
  };
}
