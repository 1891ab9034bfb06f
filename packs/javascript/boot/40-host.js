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

function hostFunction({ name, signature, doc, async: isAsync }) {
  const call = isAsync ? async (...args) => callHost(name, args) : (...args) => callHost(name, args);
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
