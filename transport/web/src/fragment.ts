// The value that travels on a circuit.
import { decodeText, encodeText, noBytes } from "./bytes.ts";

/** What a fragment may be made from. A payload is sent from where it lies: leave it alone until it has left. */
export interface FragmentInit {
  /** Your opcode, 32 bits with a sign. */
  op?: number;
  /** Your number, 64 bits with a sign: a position, a sequence, a correlation. */
  part?: number | bigint;
  /** A short text. */
  subject?: string;
  /** A few keys and values, in order. */
  args?: Iterable<readonly [string, string]> | Readonly<Record<string, string>>;
  payload?: Uint8Array | string;
  /** Not empty: the fragment arrives on the circuit's queue for errors. */
  err?: string;
}

const int32 = (value: number): boolean => Number.isInteger(value) && value >= -0x80000000 && value <= 0x7fffffff;

export class Fragment {
  readonly op: number;
  readonly part: bigint;
  readonly subject: string;
  readonly args: readonly (readonly [string, string])[];
  readonly payload: Uint8Array;
  readonly err: string;
  /** Of a call: when its caller gives it up, by the clock of this side; undefined without a deadline. */
  deadline: number | undefined = undefined;
  /** No fragment but the word that the call of this part was given up. */
  cancels = false;

  constructor(init: FragmentInit = {}) {
    this.op = init.op ?? 0;
    this.part = BigInt(init.part ?? 0);
    if (!int32(this.op)) throw new RangeError(`op ${this.op} does not fit 32 bits`);
    if (BigInt.asIntN(64, this.part) !== this.part) throw new RangeError(`part ${this.part} does not fit 64 bits`);
    this.subject = init.subject ?? "";
    const args = init.args ?? [];
    this.args = Symbol.iterator in args ? [...(args as Iterable<readonly [string, string]>)] : Object.entries(args);
    this.payload = typeof init.payload === "string" ? encodeText(init.payload) : (init.payload ?? noBytes);
    this.err = init.err ?? "";
  }

  /** The value of the first arg with this key. */
  arg(key: string): string | undefined {
    return this.args.find(([each]) => each === key)?.[1];
  }
  /** The payload as text. */
  text(): string {
    return decodeText(this.payload);
  }
}

export function toFragment(from: Fragment | FragmentInit): Fragment {
  return from instanceof Fragment ? from : new Fragment(from);
}
