// The session's host functions: each is a global of its name.
class HostError extends Error {
  constructor(type, message) {
    super(message);
    Object.defineProperty(this, 'name', { value: type, writable: true, configurable: true });
  }
}

function callHost(name, args, keywords = {}) {
  const [failed, ...given] = native.ask('F', [name, args, keywords]);
  if (failed) throw new HostError(...given);
  return given[0];
}

// Calls that are under way, by number, and those that wait because a host lets no more be so at once.
const MOST_UNDER_WAY = 100;
const underWay = new Map(), waiting = [];

async function callLater(name, args) {
  while (underWay.size >= MOST_UNDER_WAY) await new Promise(resolve => waiting.push(resolve));
  let answer;
  try { answer = native.ask('G', [name, args, {}]); } catch { return callHost(name, args); }   // none, or no room for one
  if (answer[0] === 2) {
    answer = await new Promise(resolve => {
      underWay.set(answer[1], resolve);
      native.setUnderWay(underWay.size);
    });
  }
  const [failed, ...given] = answer;
  if (failed) throw new HostError(...given);
  return given[0];
}
function takeAnswers(milliseconds) {
  let answers;
  try { answers = native.ask('W', milliseconds < 0 ? null : milliseconds / 1000); } catch {
    answers = Array.from(underWay.keys(), number => [number, [1, 'Error', 'the call ended with its turn']]);
  }
  for (const [number, answer] of answers) {
    underWay.get(number)?.(answer);
    underWay.delete(number);
    waiting.shift()?.();
  }
  native.setUnderWay(underWay.size);
}
function forgetCalls() {
  underWay.clear();
  waiting.length = 0;
  native.setUnderWay(0);
}

function hostFunction({ name, signature, doc, async: isAsync }) {
  const call = isAsync ? (...args) => callLater(name, args) : (...args) => callHost(name, args);
  Object.defineProperties(call, {
    name: { value: name, configurable: true },
    signature: { value: signature ?? '(...)' },
    doc: { value: doc ?? '' },
  });
  return call;
}

const hostFunctions = Object.create(null);
function functions() {
  let listed;
  try { listed = native.ask('L'); } catch { return; }   // a run without functions
  for (const told of listed) define(told.name, hostFunctions[told.name] = hostFunction(told));
}

define('ringfence', { call: callHost, functions: hostFunctions, raw: native.raw, HostError });
define('help', subject => {
  const known = subject === undefined ? Object.values(hostFunctions) : [subject];
  const text = known.map(f => f?.signature ? `${f.name}${f.signature}\n${f.doc ? '    ' + f.doc.replaceAll('\n', '\n    ') + '\n' : ''}` : inspect(f) + '\n');
  native.write(1, text.length ? text.join('\n') : 'This session has no host functions.\n');
});
