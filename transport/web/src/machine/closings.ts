// Circuits that we have closed and that are not over. One of which nothing moves for stallDeadline is reset.
import { end, reasons } from "../end.ts";
import type { MachineCircuit } from "./circuit.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Whole } from "./whole.ts";

const looksMax = 4; // within a stallDeadline

export class Closings {
  private readonly line = new Set<MachineCircuit>(); // by lookedAt

  constructor(
    private readonly whole: Whole,
    private readonly keepalive: { probe(): void; readonly answers: number; answersThatProve(): number },
  ) {}

  add(circuit: MachineCircuit): void {
    circuit.lookedAt = this.whole.now;
    circuit.looks = 0;
    this.line.delete(circuit);
    this.line.add(circuit);
  }
  noteProgress(circuit: MachineCircuit): void {
    if (this.line.has(circuit)) this.add(circuit);
  }
  remove(circuit: MachineCircuit): void {
    this.line.delete(circuit);
  }

  private interval(): number {
    return this.whole.limits.stallDeadline / looksMax;
  }

  deadline(): number {
    const first = this.line.values().next().value;
    return first ? first.lookedAt + this.interval() : Infinity;
  }

  tick(scheduler: Scheduler): void {
    for (;;) {
      const circuit = this.line.values().next().value;
      if (!circuit || this.whole.now < circuit.lookedAt + this.interval()) return;
      const forOthers = scheduler.waitsForOthers(circuit);
      if (forOthers && scheduler.movedAt > circuit.lookedAt) {
        this.add(circuit);
        continue;
      }
      const most = forOthers ? 3 * looksMax : looksMax;
      if (circuit.looks === 0) circuit.answeredFrom = this.keepalive.answersThatProve();
      if (circuit.looks < most) ++circuit.looks;
      if (circuit.looks >= most && this.keepalive.answers >= circuit.answeredFrom) {
        const { stallDeadline } = this.whole.limits;
        const why = forOthers
          ? `the far side had no memory for it within three times stallDeadline ${stallDeadline} ms`
          : `${circuit.queued > 0 ? "nothing could be sent" : "no answer to the close"} within stallDeadline ${stallDeadline} ms`;
        this.whole.resetCircuit(circuit, end(reasons.stalled, `${why}, though the far side answers pings`));
        this.line.delete(circuit);
        continue;
      }
      this.keepalive.probe();
      circuit.lookedAt = this.whole.now;
      this.line.delete(circuit);
      this.line.add(circuit);
    }
  }
}
