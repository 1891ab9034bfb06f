let environment = {}, argv = [];
const exitListeners = [];
let exitTold = false;

function tellExit(code) {
  if (exitTold) return;
  exitTold = true;
  for (const listener of exitListeners) listener(code);
}
function exitCode() {
  tellExit(process.exitCode ?? 0);
  return process.exitCode === undefined ? 0 : process.exitCode | 0;
}

// All of stdin is read at the first use.
const input = {
  isTTY: false, fd: 0,
  setEncoding() { return this; }, resume() { return this; }, pause() { return this; }, unref() { return this; },
  async *[Symbol.asyncIterator]() { const text = std.in.readAsString(); if (text) yield text; },
  read() { return std.in.readAsString() || null; },
  on(event, listener) {
    if (event === 'data') new Timeout(() => { const text = std.in.readAsString(); if (text) listener(text); }, 0, [], false);
    if (event === 'end') new Timeout(() => new Timeout(listener, 0, [], false), 0, [], false);
    return this;
  },
};
const output = fd => ({ isTTY: false, fd, columns: 80, write(text) { native.write(fd, String(text)); return true; } });

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
  exitCode: undefined, platform: 'wasi', arch: 'wasm32', pid: 1, title: 'javascript', execPath: '/usr/bin/js', execArgv: [],
  version: 'v' + native.version, versions: { quickjs: native.version }, release: { name: 'quickjs-ng' },
  exit(code) {
    if (code !== undefined) process.exitCode = code;
    tellExit(process.exitCode ?? 0);
    native.exit(process.exitCode | 0);
  },
  cwd() { return os.getcwd()[0]; },
  chdir(folder) { const code = os.chdir(folder); if (code < 0) throw new Error(`chdir '${folder}': ${std.strerror(-code)}`); },
  nextTick(callback, ...args) { queueMicrotask(() => callback(...args)); },
  uptime() { return performance.now() / 1e3; },
  on(event, listener) { if (event === 'exit') exitListeners.push(listener); return process; },
  once(event, listener) { return process.on(event, listener); },
  off() { return process; },
  emit() { return false; },
  memoryUsage() { const [total, used] = native.memory(); return { rss: total, heapTotal: total, heapUsed: used, external: 0 }; },
  hrtime, stdin: input, stdout: output(1), stderr: output(2),
};
define('process', process);
define('global', globalThis);
define('std', std);
define('os', os);
