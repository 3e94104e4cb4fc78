// Any number of calls over one circuit, answered in any order: a reply is the fragment with the part of its call.
import type { Circuit } from "./circuit.ts";
import { end, reasons, TrunklineError } from "./end.ts";
import { Fragment, toFragment, type FragmentInit } from "./fragment.ts";
import { withResolvers } from "./link.ts";
import { ErrorReply } from "./local_peer.ts";

export interface CallOptions {
  /** The call is given up after so many milliseconds; the far side is told. */
  deadlineMs?: number;
  signal?: AbortSignal;
}

interface Waiting {
  resolve: (reply: Fragment) => void;
  reject: (failure: unknown) => void;
}

/** The side that asks. It receives everything that comes on the circuit. */
export class Caller {
  private nextPart = 1n;
  private readonly waiting = new Map<bigint, Waiting>();

  constructor(private readonly circuit: Circuit) {
    void this.pump(() => circuit.receive());
    void this.pump(() => circuit.receiveError());
  }

  private async pump(receive: () => Promise<Fragment | undefined>): Promise<void> {
    try {
      for (let reply = await receive(); reply; reply = await receive()) {
        const call = this.waiting.get(reply.part);
        if (reply.err === "") call?.resolve(reply);
        else call?.reject(new ErrorReply(reply));
      }
      this.failAll(new TrunklineError(end(reasons.circuitClosed, "the far side answers no more calls")));
    } catch (failure) {
      this.failAll(failure);
    }
  }

  private failAll(failure: unknown): void {
    for (const call of this.waiting.values()) call.reject(failure);
  }

  /** Sends the fragment, whose part is drawn, and waits for its reply. Given up, it throws and the far side is told. */
  async call(init: Fragment | FragmentInit, options: CallOptions = {}): Promise<Fragment> {
    options.signal?.throwIfAborted();
    const given = toFragment(init);
    const part = this.nextPart++;
    const { link } = this.circuit;
    const request = new Fragment({
      op: given.op,
      part,
      subject: given.subject,
      args: given.args,
      payload: given.payload,
      err: given.err,
    });
    if (options.deadlineMs !== undefined) request.deadline = link.now() + options.deadlineMs;
    const reply = withResolvers<Fragment>();
    reply.promise.catch(() => undefined); // whoever waits hears of it below
    this.waiting.set(part, reply);
    const giveUp = new AbortController();
    const abort = (): void => giveUp.abort(options.signal!.reason);
    options.signal?.addEventListener("abort", abort, { once: true });
    giveUp.signal.addEventListener("abort", () => reply.reject(giveUp.signal.reason), { once: true });
    const cancelTimer =
      options.deadlineMs === undefined
        ? undefined
        : link.after(options.deadlineMs, () => giveUp.abort(new TrunklineError(end(reasons.deadlinePassed))));
    let isSent = false;
    try {
      await this.circuit.send(request, { signal: giveUp.signal });
      isSent = true;
      return await reply.promise;
    } catch (failure) {
      if (giveUp.signal.aborted && isSent) this.sayGivenUp(part);
      throw failure;
    } finally {
      this.waiting.delete(part);
      cancelTimer?.();
      options.signal?.removeEventListener("abort", abort);
    }
  }

  /** Left out when there is no credit: then the call has most likely not been read yet. */
  private sayGivenUp(part: bigint): void {
    if (!this.circuit.link.machine.farKnowsCalls) return;
    const word = new Fragment({ part });
    word.cancels = true;
    this.circuit.sendOneWay(word);
  }
}

/**
 * The side that answers: calls `answer` for each call, side by side, and sends what it returns. A call that is given up
 * aborts its signal. What `answer` throws becomes an error fragment with the words of `expose`, if it gives any.
 * Returns when the far side has finished and everything is answered.
 */
export async function answerCalls(
  circuit: Circuit,
  answer: (call: Fragment, signal: AbortSignal) => Promise<Fragment | FragmentInit>,
  options: { callsMax?: number; expose?: (failure: unknown) => string } = {},
): Promise<void> {
  const { callsMax = 64 } = options;
  const running = new Map<bigint, Set<AbortController>>();
  const tasks = new Set<Promise<void>>();
  const run = async (call: Fragment): Promise<void> => {
    const giveUp = new AbortController();
    const same = running.get(call.part) ?? new Set();
    running.set(call.part, same.add(giveUp));
    const cancel =
      call.deadline === undefined
        ? undefined
        : circuit.link.after(call.deadline - circuit.link.now(), () =>
            giveUp.abort(new TrunklineError(end(reasons.deadlinePassed))),
          );
    try {
      const reply = toFragment(await answer(call, AbortSignal.any([giveUp.signal, circuit.signal])));
      if (giveUp.signal.aborted) return;
      await circuit.send(
        new Fragment({
          op: reply.op,
          part: call.part,
          subject: reply.subject,
          args: reply.args,
          payload: reply.payload,
          err: reply.err,
        }),
      );
    } catch (failure) {
      if (giveUp.signal.aborted || !circuit.isOpen) return;
      const err = options.expose?.(failure) || "the call failed";
      await circuit.send({ part: call.part, err }).catch(() => undefined);
    } finally {
      cancel?.();
      same.delete(giveUp);
      if (same.size === 0) running.delete(call.part);
    }
  };
  for (let call = await circuit.receiveWithWords(); call; call = await circuit.receiveWithWords()) {
    if (call.cancels) {
      for (const each of running.get(call.part) ?? [])
        each.abort(new TrunklineError(end(reasons.circuitReset, "the call was given up")));
      continue;
    }
    const task: Promise<void> = run(call).finally(() => tasks.delete(task));
    tasks.add(task);
    while (tasks.size >= callsMax) await Promise.race(tasks);
  }
  await Promise.all(tasks);
}
