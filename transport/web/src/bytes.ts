// Bytes and the texts made of them. Texts on the wire are bytes; here they are strings in which a byte that is no UTF-8
// is a lone surrogate from U+DC80 on, so that each text comes back as the bytes that it was.

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
const empty = new Uint8Array(0);

export const noBytes: Uint8Array = empty;

export function decodeText(bytes: Uint8Array): string {
  if (bytes.length === 0) return "";
  try {
    return strict.decode(bytes);
  } catch {
    return decodeBrokenText(bytes);
  }
}

function sequenceLength(first: number): number {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return 2;
  if (first >= 0xe0 && first < 0xf0) return 3;
  return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

function decodeBrokenText(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes[at]!);
    let piece = "";
    if (length > 0 && at + length <= bytes.length) {
      try {
        piece = strict.decode(bytes.subarray(at, at + length));
      } catch {
        // the byte stands for itself
      }
    }
    text += piece === "" ? String.fromCharCode(0xdc00 + bytes[at]!) : piece;
    at += piece === "" ? 1 : length;
  }
  return text;
}

const escapedByte = /[\udc80-\udcff]/;

export function encodeText(text: string): Uint8Array {
  if (text === "") return empty;
  if (!escapedByte.test(text)) return encoder.encode(text);
  const pieces: Uint8Array[] = [];
  for (const piece of text.match(/[\ud800-\udbff][\udc00-\udfff]|[\udc80-\udcff]|[^]/g) ?? []) {
    const code = piece.charCodeAt(0);
    pieces.push(
      piece.length === 1 && code >= 0xdc80 && code <= 0xdcff ? Uint8Array.of(code - 0xdc00) : encoder.encode(piece),
    );
  }
  return concat(pieces);
}

/** The text as people read it: what is no UTF-8 is a replacement character, control characters are visible. */
export function printable(text: string, charactersMax = 256): string {
  const shown = [...text.slice(0, charactersMax + 1)].map((each) => {
    const code = each.codePointAt(0)!;
    if (code >= 0xd800 && code <= 0xdfff) return "\ufffd";
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(each)
      ? `\\x${code.toString(16).padStart(2, "0")}`
      : each;
  });
  return shown.length > charactersMax ? shown.slice(0, charactersMax).join("") + "…" : shown.join("");
}

export function concat(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0]!;
  let size = 0;
  for (const piece of pieces) size += piece.length;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; ++i) if (a[i] !== b[i]) return false;
  return true;
}

export function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** 16 random bytes that name a node or a peer. */
export type Id = Uint8Array;
export const idBytes = 16;

/** The id as URLs have it: unpadded base64url. */
export function idText(id: Id): string {
  return btoa(String.fromCharCode(...id))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");
}

/** Undefined when the text names no id. */
export function parseId(text: string): Id | undefined {
  if (!/^[A-Za-z0-9_-]{22}$/.test(text)) return undefined;
  const id = Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));
  return id.length === idBytes && idText(id) === text ? id : undefined;
}

/** Where ids and jitter come from; tests give a seeded one. */
export type Random = (bytes: Uint8Array) => void;
export const systemRandom: Random = (bytes) => void crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>);

export function randomId(random: Random): Id {
  const id = new Uint8Array(idBytes);
  do random(id);
  while (id.every((byte) => byte === 0));
  return id;
}

/** The text, cut after at most so many bytes, between two characters. */
export function cut(text: string, bytesMax: number): string {
  if (text.length * 3 <= bytesMax) return text;
  const bytes = encodeText(text);
  if (bytes.length <= bytesMax) return text;
  let size = bytesMax;
  while (size > 0 && (bytes[size]! & 0xc0) === 0x80) --size;
  return decodeText(bytes.subarray(0, size));
}
