// The engine's timers, but an error in a callback ends the program as an uncaught error does.
function guarded(callback) {
  if (typeof callback !== 'function') throw new TypeError('The "callback" argument must be of type function');
  return (...args) => {
    try { return callback(...args); } catch (error) { die(error); }
  };
}
for (const name of ['setTimeout', 'setInterval']) {
  globalThis[name] = (callback, delay, ...args) => web[name](guarded(callback), delay, ...args);
}
globalThis.queueMicrotask = callback => web.queueMicrotask(guarded(callback));
define('setImmediate', (callback, ...args) => web.setTimeout(guarded(callback), 0, ...args));
define('clearImmediate', number => web.clearTimeout(number));
