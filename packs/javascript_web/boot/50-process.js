let argv = [], chosenCode;
let environment = {};
const exitListeners = [];
let exitTold = false;

function exit(code) {
  if (!exitTold) {
    exitTold = true;
    for (const listener of exitListeners) listener(code);
  }
  const engine = said();
  if (engine) native.write(2, reported(engine));
  hostExit(code & 255);
}
// What the engine says where `import()` names a module that nothing has loaded.
const UNLOADED = /^module record has unexpected status/;
const IMPORT_HINT = 'js: import() gives only what a static import has loaded: import it at the top\n';
function die(error) {
  let text;
  try { text = describeError(error).traceback; } catch { text = 'Uncaught error\n'; }
  native.write(2, text);
  if (error instanceof InternalError && UNLOADED.test(error.message)) native.write(2, IMPORT_HINT);
  exit(1);
}

const PIECE_BYTES = 65536;
function readAllBytes() {
  const pieces = [];
  let bytes = 0;
  for (let piece; (piece = read(PIECE_BYTES)).length; bytes += piece.length) pieces.push(piece);
  const all = new Uint8Array(bytes);
  let at = 0;
  for (const piece of pieces) all.set(piece, at), at += piece.length;
  return all;
}
const readAll = () => new TextDecoder().decode(readAllBytes());

const input = {
  isTTY: false, fd: 0, encoding: null,
  setEncoding(encoding) { this.encoding = encoding; return this; },
  resume() { return this; }, pause() { return this; }, ref() { return this; }, unref() { return this; },
  // Pieces as they come: text, as a program that reads from a pipe mostly wants it.
  async *[Symbol.asyncIterator]() {
    const decoder = new TextDecoder();
    for (let piece; (piece = read(PIECE_BYTES)).length;) yield decoder.decode(piece, { stream: true });
    const rest = decoder.decode();
    if (rest) yield rest;
  },
  read() { return readAll() || null; },
  on(event, listener) {
    if (event === 'data') setTimeout(() => { const text = readAll(); if (text) listener(text); }, 0);
    if (event === 'end') setTimeout(() => setTimeout(listener, 0), 0);
    return this;
  },
};
const output = fd => ({
  isTTY: false, fd, columns: 80,
  write(data) { write(fd, data instanceof Uint8Array ? data : encoder.encode(String(data))); return true; },
});

function hrtime(before) {
  const now = native.clock(), seconds = Math.floor(now / 1e3), nanoseconds = Math.floor((now % 1e3) * 1e6);
  if (!before) return [seconds, nanoseconds];
  const borrow = nanoseconds < before[1];
  return [seconds - before[0] - borrow, nanoseconds - before[1] + borrow * 1e9];
}
hrtime.bigint = () => BigInt(Math.floor(native.clock() * 1e6));

const process = {
  get argv() { return argv; },
  set argv(words) { argv = words; },
  get env() { return environment; },
  set env(variables) { environment = variables; },
  get exitCode() { return chosenCode; },
  set exitCode(code) { chosenCode = code === undefined ? code : code | 0; },
  platform: 'wasi', arch: 'wasm32', pid: 1, title: 'javascript-web', execPath: '/usr/bin/js', execArgv: [],
  version: 'v' + VERSION, versions: { starlingmonkey: VERSION }, release: { name: 'starlingmonkey' },
  exit(code = chosenCode ?? 0) { exit(code | 0); },
  cwd() { return '/'; },
  nextTick(callback, ...args) { queueMicrotask(() => callback(...args)); },
  uptime() { return performance.now() / 1e3; },
  on(event, listener) { if (event === 'exit') exitListeners.push(listener); return process; },
  once(event, listener) { return process.on(event, listener); },
  off() { return process; },
  emit() { return false; },
  hrtime, stdin: input, stdout: output(1), stderr: output(2),
};
define('process', process);
define('global', globalThis);
