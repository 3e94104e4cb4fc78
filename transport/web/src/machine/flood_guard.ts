// Rate limits for frames that cost their sender little. What an honest far side can reach holds the reading back for a
// while; what none reaches ends the trunk.
import { reasons } from "../end.ts";
import { TokenBucket, type Whole } from "./whole.ts";

/** Counts what happens within a period that begins with the first. */
class RateLimit {
  private since = 0;
  private count = 0;
  constructor(
    private readonly max: number,
    private readonly periodMs: number,
  ) {}
  passes(now: number): boolean {
    if (this.count === 0 || now - this.since >= this.periodMs) {
      this.since = now;
      this.count = 0;
    }
    return ++this.count <= this.max;
  }
}

export class FloodGuard {
  private readonly pings: RateLimit;
  private readonly pongs: RateLimit;
  private readonly unknown: RateLimit;
  private readonly control: TokenBucket;
  private readonly cancelled: TokenBucket;
  private resumesAt = Infinity;

  constructor(private readonly whole: Whole) {
    const { limits } = whole;
    this.pings = new RateLimit(limits.pingsPerSecondMax, 1000);
    this.pongs = new RateLimit(limits.pingsAnsweredPerSecondMax, 1000);
    this.unknown = new RateLimit(limits.unknownFramesPerMinuteMax, 60000);
    this.control = new TokenBucket(limits.controlFramesPerSecondMax, limits.controlFramesPerSecondMax);
    this.cancelled = new TokenBucket(limits.cancelledOpensPerSecondMax, 5 * limits.cancelledOpensPerSecondMax);
  }

  countPing(): boolean {
    if (this.pings.passes(this.whole.now)) return true;
    this.whole.violate(
      reasons.tooManyControlFrames,
      `more than pingsPerSecondMax ${this.whole.limits.pingsPerSecondMax}`,
    );
    return false;
  }
  countPong(): boolean {
    return this.pongs.passes(this.whole.now);
  }
  countUnknownFrame(): boolean {
    if (this.unknown.passes(this.whole.now)) return true;
    const { unknownFramesPerMinuteMax } = this.whole.limits;
    this.whole.violate(
      reasons.tooManyControlFrames,
      `more than unknownFramesPerMinuteMax ${unknownFramesPerMinuteMax} optional frames of unknown type`,
    );
    return false;
  }
  countControlFrame(): void {
    this.charge(this.control);
  }
  /** A circuit that a service had taken, and that its opener gave up within a second, unanswered. */
  countCancelledOpen(): void {
    this.charge(this.cancelled);
  }

  private charge(bucket: TokenBucket): void {
    bucket.refill(this.whole.now);
    bucket.take();
    if (bucket.tokens >= 0) return;
    if (!this.paused) ++this.whole.counters.readingPauses;
    const due = bucket.when(0);
    this.resumesAt = this.paused ? Math.max(this.resumesAt, due) : due;
  }

  /** The connection should not be read. */
  get paused(): boolean {
    return this.resumesAt !== Infinity;
  }
  deadline(): number {
    return this.resumesAt;
  }
  tick(): void {
    if (this.whole.now >= this.resumesAt) this.resumesAt = Infinity;
  }
}
