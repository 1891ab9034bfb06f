// Timers in the order they are due; the driver knows only when the first one is (setAlarm).
const timers = [];
let numbered = 0, heldDelays = null;

function setAlarm() {
  native.setAlarm(timers.some(timer => timer.keepsAlive) ? timers[0].due : -1);
}
function insert(timer) {
  timer.due = native.clock() + timer.delay;
  let at = timers.length;
  while (at && timers[at - 1].due > timer.due) at--;
  timers.splice(at, 0, timer);
  setAlarm();
}
function remove(timer) {
  const at = timers.indexOf(timer);
  if (at >= 0) { timers.splice(at, 1); setAlarm(); }
}

class Timeout {
  constructor(callback, delay, args, repeats) {
    if (typeof callback !== 'function') throw new TypeError('The "callback" argument must be of type function');
    const hide = (name, value) => Object.defineProperty(this, name, { value, writable: true });
    hide('callback', callback), hide('delay', delay), hide('args', args), hide('repeats', repeats);
    hide('keepsAlive', true), hide('due', 0), hide('number', ++numbered);
    insert(this);
  }
  ref() { this.keepsAlive = true; setAlarm(); return this; }
  unref() { this.keepsAlive = false; setAlarm(); return this; }
  hasRef() { return this.keepsAlive; }
  refresh() { remove(this); insert(this); return this; }
  close() { this.repeats = false; remove(this); return this; }
  [Symbol.toPrimitive]() { return this.number; }
}

function milliseconds(delay) {
  delay = Number(delay);
  return delay >= 1 && delay <= 2147483647 ? delay : 1;
}
function clear(timer) {
  if (timer === null || timer === undefined) return;
  if (!(timer instanceof Timeout)) timer = timers.find(known => known.number === Number(timer));
  timer?.close();
}
define('setTimeout', (callback, delay, ...args) => new Timeout(callback, milliseconds(delay), args, false));
define('setInterval', (callback, delay, ...args) => new Timeout(callback, milliseconds(delay), args, true));
define('setImmediate', (callback, ...args) => new Timeout(callback, 0, args, false));
define('clearTimeout', clear);
define('clearInterval', clear);
define('clearImmediate', clear);

function fire() {
  const timer = timers[0];
  if (!timer || timer.due > native.clock()) return setAlarm();
  timers.shift();
  setAlarm();
  // Before the callback: an interrupt skips `finally`, and the list must be whole after it.
  if (timer.repeats) insert(timer);
  timer.callback(...timer.args);
}
function reset() {
  forgetCalls();
  timers.length = 0;
  setAlarm();
}
function hold() {
  const now = native.clock();
  heldDelays = timers.map(timer => timer.due - now);
}
function releaseHeld() {
  if (!heldDelays) return;
  const now = native.clock();
  timers.forEach((timer, i) => { timer.due = now + (heldDelays[i] ?? 0); });
  heldDelays = null;
  setAlarm();
}
