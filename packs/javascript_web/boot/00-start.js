// The boot script: run once before the snapshot, as a module called `<boot>`. It is made of the files of this folder and
// of those of the pack `javascript` that the recipe names, joined in the order of their names.
import { exit as hostExit, source } from 'ringfence:language/host@1.0.0';
import { getArguments, getEnvironment } from 'wasi:cli/environment@0.2.10';
import { evaluate, read, said, settle, write } from 'ringfence:javascript-web/driver';

// A program may replace anything of these.
const {
  AbortSignal, Array, ArrayBuffer, BigInt, Boolean, DOMException, Date, Error, Headers, InternalError, JSON, Map, Math,
  Number, Object, Promise, ReadableStream, RegExp, Request, Set, String, Symbol, SyntaxError, TextDecoder, TextEncoder,
  TypeError, URL, Uint8Array, WeakMap, WeakSet, parseFloat, parseInt, performance,
} = globalThis;
const web = {};
for (const name of ['setTimeout', 'setInterval', 'clearTimeout', 'clearInterval', 'queueMicrotask', 'fetch']) web[name] = globalThis[name];

const MOST_FRAMES = 10;   // as in node
const NAMELESS = new Set(['', 'anonymous']);
const encoder = new TextEncoder();

// What the shared files ask of their driver.
const native = {
  write(fd, text) { write(fd, encoder.encode(text)); },
  clock: () => performance.now(),
  promiseState: () => [0],
};

function define(name, value) {
  Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
}

// The engine knows a program by its path from the root, which people may have written differently.
const displayed = new Map();
const shown = place => place.replace(/^.*?(?=:\d+:\d+$)/, path => displayed.get(path) ?? path);

// The engine's `f@a.js:1:2` as `    at f (a.js:1:2)`, which people know; a syntax error's own place first.
function frames(stack) {
  return stack.split('\n').filter(line => line && !/@(<boot>|\/initializer\.js):/.test(line)).map(line => {
    const [, name, place] = /^\s*(.*?)@(.*)$/.exec(line) ?? [, '', line];
    const bare = name.replace(/^async\*/, 'async ').replace(/[/<]+$/, '');
    return NAMELESS.has(bare) ? `    at ${shown(place)}` : `    at ${bare} (${shown(place)})`;
  });
}
function stackOf(error) {
  const { stack } = error;
  if (typeof stack !== 'string') return stack;
  const lines = frames(stack).slice(0, MOST_FRAMES);
  if (error instanceof SyntaxError && error.fileName && error.fileName !== '<boot>') {
    const place = `    at ${shown(`${error.fileName}:${error.lineNumber}:${error.columnNumber}`)}`;
    if (lines[0] !== place) lines.unshift(place);
  }
  return lines.join('\n');
}
