// What a program uses.
export { Caller, answerCalls, type CallOptions } from "./calls.ts";
export { Circuit, type CircuitOptions } from "./circuit.ts";
export { cleanEnd, describe, end, reasons, TrunklineError, type End } from "./end.ts";
export { Fragment, type FragmentInit } from "./fragment.ts";
export { idText, parseId, printable, type Id } from "./bytes.ts";
export { defaultLimits, type Limits } from "./machine/limits.ts";
export { Node, type KeepOptions, type NodeOptions, type There } from "./node.ts";
export { ErrorReply, LocalPeer, type Service, type ServiceOptions, type CircuitHandler } from "./local_peer.ts";
export { Link, type LinkInfo } from "./link.ts";
export { memoryTransports, webSocketTransport, type Transport, type TransportEvents } from "./transport.ts";
