// Watches whether the far side is alive, and measures the round trip. A connection on which nothing arrives for an
// interval is pinged; one on which nothing arrives for another is dead. Output that is not written has a deadline of
// its own, and while a ping waits in that output, its clock does not run.
import { end, reasons, type End } from "../end.ts";
import { encodeNumber, FrameType } from "../frames.ts";
import type { Output } from "./output.ts";
import type { Whole } from "./whole.ts";

const roundTripMin = 0.05;

export class Keepalive {
  private connectedAt = Infinity; // Infinity: not connected yet
  private heardAt = 0;
  private asked = false; // a ping has been put since heardAt
  private ping: "inOutput" | "inWrite" | "written" = "written";
  private pingNumber = 0n;
  private pingAt = 0;
  private timed = false; // the pong of the last ping is still to come
  private pongDue: bigint | undefined;
  private pongAt = 0;
  private writingSince = 0;
  writing = false;
  roundTrip = 1;
  /** Answers to pings that were put after the answer before. */
  answers = 0;

  constructor(
    private readonly whole: Whole,
    private readonly output: Output,
    private readonly introduced: () => boolean,
  ) {}

  heard(): void {
    this.heardAt = this.whole.now;
    this.asked = false;
  }
  connected(): void {
    if (this.connectedAt !== Infinity) return;
    this.connectedAt = this.heardAt = this.pingAt = this.whole.now;
  }
  writeBegan(): void {
    this.writing = true;
    this.writingSince = this.whole.now;
    if (this.ping === "inOutput") this.ping = "inWrite";
  }
  writeProgressed(): void {
    this.writingSince = this.whole.now;
  }
  written(): void {
    this.writing = false;
    if (this.ping !== "inWrite") return;
    this.ping = "written";
    this.pingAt = this.whole.now; // what it waited for our own output says nothing about the far side
  }

  putPing(): void {
    this.ping = "inOutput";
    this.pingAt = this.whole.now;
    this.asked = true;
    this.timed = true;
    this.output.putControl(FrameType.ping, encodeNumber(++this.pingNumber));
  }
  probe(): void {
    if (!this.timed) this.putPing();
  }
  /** With so many answers, all that is in the output now has reached the far side. */
  answersThatProve(): number {
    return this.answers + (this.timed ? 3 : 2);
  }

  /** One answer is due at a time, for the last ping of those that came. */
  heardPing(number: bigint, isDeferred: boolean): void {
    if (this.pongDue === undefined && isDeferred) this.pongAt = this.whole.now + 1000;
    this.pongDue = number;
  }
  get hasPongDue(): boolean {
    return this.pongDue !== undefined;
  }
  get hasPong(): boolean {
    return this.pongDue !== undefined && this.whole.now >= this.pongAt;
  }
  putPong(): void {
    if (!this.hasPong) return;
    this.output.putControl(FrameType.pong, encodeNumber(this.pongDue!));
    this.pongDue = undefined;
  }
  heardPong(number: bigint): void {
    const wasTimed = this.timed;
    this.timed = false;
    if (!wasTimed || number !== this.pingNumber) return;
    ++this.answers;
    this.whole.counters.roundTrip = this.whole.now - this.pingAt;
    this.roundTrip = Math.max(roundTripMin, this.whole.counters.roundTrip);
  }

  /** Nothing of ours is on its way: a side that only takes has to say something now and then. */
  private saysLittle(): boolean {
    return this.connectedAt !== Infinity && this.introduced() && !this.writing && this.ping === "written";
  }
  private deadAt(): number {
    const { keepaliveInterval } = this.whole.limits;
    return Math.max(this.heardAt + 2 * keepaliveInterval, this.pingAt + keepaliveInterval);
  }

  deadline(): number {
    if (this.connectedAt === Infinity) return Infinity;
    const { keepaliveInterval, writeDeadline, handshakeDeadline } = this.whole.limits;
    let first = Infinity;
    if (this.writing) first = this.writingSince + writeDeadline;
    else if (this.saysLittle()) first = this.writingSince + keepaliveInterval;
    if (!this.asked) first = Math.min(first, this.heardAt + keepaliveInterval);
    else if (this.ping === "written") first = Math.min(first, this.deadAt());
    if (!this.introduced()) first = Math.min(first, this.connectedAt + handshakeDeadline);
    if (this.pongDue !== undefined && !this.hasPong) first = Math.min(first, this.pongAt);
    return first;
  }

  /** Why the trunk has to end, if it has to. Pings when it is time. */
  tick(): End | undefined {
    const { now, limits } = this.whole;
    const isConnected = this.connectedAt !== Infinity;
    if (isConnected && !this.introduced() && now >= this.connectedAt + limits.handshakeDeadline)
      return end(reasons.handshakeTimeout, `no hello within handshakeDeadline ${limits.handshakeDeadline} ms`);
    if (isConnected && this.asked && this.ping === "written" && now >= this.deadAt())
      return end(reasons.keepaliveTimeout, `nothing heard for twice keepaliveInterval ${limits.keepaliveInterval} ms`);
    if (this.writing && now >= this.writingSince + limits.writeDeadline)
      return end(reasons.writeTimeout, `output not written within writeDeadline ${limits.writeDeadline} ms`);
    const isDue =
      (isConnected && !this.asked && now >= this.heardAt + limits.keepaliveInterval) ||
      (this.saysLittle() && now >= this.writingSince + limits.keepaliveInterval);
    if (isDue) this.putPing();
    return undefined;
  }
}
