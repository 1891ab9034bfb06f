// The boot script, run once before the snapshot. The files of this folder are one module, joined in the order of their
// names. `native` is the driver's side (host.c); no global keeps it, but guest code may replace anything else here.
import * as std from 'qjs:std';
import * as os from 'qjs:os';
import * as bjson from 'qjs:bjson';

const native = globalThis.native;
delete globalThis.native;

// A cell's `let Map = 1` would hide the global of that name from this module too.
const {
  Array, ArrayBuffer, BigInt, Boolean, DOMException, DataView, Date, Error, Function, Infinity, JSON, Map, Math, Number,
  Object, Promise, RangeError, Reflect, RegExp, Set, String, Symbol, TypeError, Uint8Array, WeakMap, WeakSet,
  isNaN, parseFloat, parseInt, performance, queueMicrotask,
} = globalThis;

function define(name, value) {
  Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
}
