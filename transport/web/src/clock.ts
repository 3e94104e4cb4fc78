// Time, as a program or a test gives it.

export interface Clock {
  /** Milliseconds; only differences mean anything. */
  now(): number;
  /** Calls `action` after so many milliseconds, unless it is cancelled before. */
  after(ms: number, action: () => void): () => void;
}

const timerMax = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, action) {
    const timer = setTimeout(action, Math.min(Math.max(0, Math.ceil(ms)), timerMax));
    return () => clearTimeout(timer);
  },
};
