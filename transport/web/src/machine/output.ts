// Frames on their way out. Control frames overtake data; what belongs behind a circuit's data goes in line with it.
import { concat, noBytes } from "../bytes.ts";
import { frame, FrameType, preface } from "../frames.ts";
import { invariant } from "./whole.ts";

export class Output {
  private control: Uint8Array[] = [];
  private line: Uint8Array[] = [];
  private stopped = false; // after the goodbye nothing is put
  bytes = 0;
  /** Of the control bytes, answers that the far side causes. */
  answersBytes = 0;

  putPreface(): void {
    this.control.push(preface);
    this.bytes += preface.length;
  }

  putControl(type: number, body: Uint8Array): void {
    if (this.stopped) return;
    const bytes = frame(type, body);
    this.control.push(bytes);
    this.bytes += bytes.length;
    if (type !== FrameType.open && type !== FrameType.peerMetadata && type !== FrameType.peerEnded)
      this.answersBytes += bytes.length;
  }

  /** FINISH and CLOSE: behind the data of their circuit. */
  putInLine(type: number, body: Uint8Array, isAnswer: boolean): void {
    const bytes = frame(type, body);
    this.line.push(bytes);
    this.bytes += bytes.length;
    if (isAnswer) this.answersBytes += bytes.length;
  }

  putData(head: Uint8Array, payload: Uint8Array): void {
    this.line.push(head);
    if (payload.length > 0) this.line.push(payload);
    this.bytes += head.length + payload.length;
  }

  putGoodbye(body: Uint8Array): void {
    this.stopped = true;
    this.putInLine(FrameType.goodbye, body, false);
  }

  /** All of it, as one piece; empty when there is none. */
  collect(): Uint8Array {
    const bytes = this.bytes === 0 ? noBytes : concat([...this.control, ...this.line]);
    this.control = [];
    this.line = [];
    this.bytes = 0;
    this.answersBytes = 0;
    return bytes;
  }

  stop(): void {
    this.collect();
    this.stopped = true;
  }

  check(): void {
    invariant(this.answersBytes <= this.bytes, "output: answersBytes <= bytes");
    const sum = [...this.control, ...this.line].reduce((bytes, each) => bytes + each.length, 0);
    invariant(sum === this.bytes, "output: bytes == control + line");
  }
}
