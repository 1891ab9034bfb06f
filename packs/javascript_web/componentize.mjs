// Makes the component: the engine with bindings for our world, with the bridge beside it, after the boot script.
//
//   node componentize.mjs PACKAGES WORK WASMTIME      (in the folder of this file)
//
// PACKAGES holds the unpacked packages of the registry; WORK what is made, and in `files` the boot script, as `<boot>`.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [, , packages, work, wasmtime] = process.argv;
const library = name => import(pathToFileURL(`${packages}/node_modules/${name}`));
const { splicer } = await library('@bytecodealliance/componentize-js/lib/spidermonkey-embedding-splicer.js');
const tools = await library('@bytecodealliance/jco/obj/wasm-tools.js');

const BRIDGE = 'ringfence:javascript-web/bridge@1.0.0';
const FEATURES = ['stdio', 'random', 'clocks', 'http'];
const BETWEEN = ['path_open', 'path_filestat_get', 'fd_write', 'proc_exit'];

function run(command, args, options = {}) {
  const ended = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26, ...options });
  if (ended.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${ended.error ?? ended.status}\n${ended.stdout}${ended.stderr}`);
}

// LEB128, as in the binary format of WebAssembly.
function number(bytes, at) {
  let value = 0, shift = 0, byte;
  do {
    byte = bytes[at++];
    value += (byte & 127) * 2 ** shift;
    shift += 7;
  } while (byte & 128);
  return [value, at];
}
function numbered(value) {
  const bytes = [];
  do {
    const rest = Math.floor(value / 128);
    bytes.push(value % 128 + (rest ? 128 : 0));
    value = rest;
  } while (value);
  return Buffer.from(bytes);
}
function named(text) {
  const bytes = Buffer.from(text);
  return Buffer.concat([numbered(bytes.length), bytes]);
}

// Sections of a module: [kind, bytes].
function* sections(wasm) {
  for (let at = 8; at < wasm.length;) {
    const [size, begin] = number(wasm, at + 1);
    yield [wasm[at], wasm.subarray(begin, begin + size)];
    at = begin + size;
  }
}
// The module with each section as `change(kind, bytes)` has it.
function changed(wasm, change) {
  const out = [wasm.subarray(0, 8)];
  for (const [kind, bytes] of sections(wasm)) {
    const section = change(kind, bytes);
    out.push(Buffer.from([kind]), numbered(section.length), section);
  }
  return Buffer.concat(out);
}

// Imports, some of them from elsewhere: `rename(module, name)` gives both, or nothing. -> [count, bytes]
function imports(section, rename) {
  let [count, at] = number(section, 0);
  const out = [numbered(count)];
  const text = () => {
    const [size, begin] = number(section, at);
    at = begin + size;
    return section.subarray(begin, at).toString();
  };
  for (let left = count; left; left--) {
    const module = text(), name = text();
    const [to, as] = rename(module, name) ?? [module, name];
    // Only functions: kind 0, and the index of a type.
    if (section[at] !== 0) throw new Error(`the engine imports ${module} ${name}, which is no function`);
    const [, end] = number(section, at + 1);
    out.push(named(to), named(as), section.subarray(at, end));
    at = end;
  }
  return [count, Buffer.concat(out)];
}

// The one body that has these bytes; it is an error if there are more or none.
function only(bodies, ...parts) {
  const found = bodies.flatMap((body, i) => parts.every(part => body.includes(part)) ? [i] : []);
  if (found.length !== 1) throw new Error(`${found.length} functions of the engine look like the one that is needed: it is another engine`);
  return found[0];
}
function bodiesOf(section) {
  let [count, at] = number(section, 0);
  return Array.from({ length: count }, () => {
    const [size, begin] = number(section, at);
    at = begin + size;
    return section.subarray(begin, at);
  });
}

// The engine does not export `Engine::eval_toplevel(source, path)`, nor where its `Engine` is. The first is the function
// that keeps the two callbacks of `LoadRequestedModules`; the second it is given by `call`, when that runs the event loop.
const CALLBACKS = [Buffer.from([0x41, 0x92, 0x1b, 0x36, 0x02, 0x18]), Buffer.from([0x41, 0x93, 0x1b, 0x36, 0x02, 0x1c])];
const escaped = bytes => bytes.replace(/[\s\S]/g, byte => '\\x' + byte.charCodeAt().toString(16).padStart(2, '0'));
function found(wasm) {
  const bodies = bodiesOf([...sections(wasm)].find(([kind]) => kind === 10)[1]);
  const evaluates = only(bodies, ...CALLBACKS);
  const loops = [...bodies[evaluates].toString('latin1').matchAll(/\x20\x00\x10([\x80-\xff]+[\x00-\x7f])\x1a/gs)];
  if (loops.length !== 1) throw new Error('the engine runs its event loop elsewhere: it is another engine');
  const loop = '\x10' + loops[0][1];
  const given = new RegExp('\\x41([\\x80-\\xff]{3}[\\x00-\\x7f])\\x28\\x02\\x00' + escaped(loop), 's');
  const place = bodies.map(body => given.exec(body.toString('latin1'))).find(Boolean);
  if (!place) throw new Error('nothing tells where the engine is: it is another engine');
  return { evaluates, engineAt: number(Buffer.from(place[1], 'latin1'), 0)[0] };
}

// Two things of the engine are mended in place:
// - It gives its collector 32 MiB and crashes beyond them. How much a program may have is the sandbox's to say.
// - `import.meta` of a module that is not built in fails without an error: the hook gives 0 where it found no builtin.
const HEAP = { from: Buffer.from([0x41, 0x80, 0x80, 0x80, 0x10, 0x36, 0x02, 0x00]), to: Buffer.from([0x41, 0xff, 0xff, 0xff, 0x7f]) };
const BUILTIN = Buffer.from([0x41, 0xd4, 0xcf, 0xc6, 0x00]);   // the text "builtin"
function mend(wasm) {
  const bodies = bodiesOf([...sections(wasm)].find(([kind]) => kind === 10)[1]);
  const starts = bodies[only(bodies, HEAP.from)];
  HEAP.to.copy(starts, starts.indexOf(HEAP.from));
  const hook = bodies[only(bodies, BUILTIN)], end = hook.subarray(-3);
  if (end.toString('hex') !== '20010b') throw new Error('the hook of import.meta ends in another way: it is another engine');
  end.set([0x41, 0x01]);
}

const engine = readFileSync(`${packages}/node_modules/@bytecodealliance/componentize-js/lib/starlingmonkey_embedding.wasm`);
const spliced = splicer.spliceBindings(engine, FEATURES, readFileSync('world.wit', 'utf8'), undefined, 'program', false);

const spliceWasm = Buffer.from(spliced.wasm);
const { evaluates, engineAt } = found(spliceWasm);
mend(spliceWasm);
let imported;
const engineWasm = changed(spliceWasm, (kind, section) => {
  if (kind === 2) {
    const [count, bytes] = imports(section, (module, name) => {
      if (module === BRIDGE || (module === 'wasi_snapshot_preview1' && BETWEEN.includes(name))) return ['bridge', name];
    });
    imported = count;
    return bytes;
  }
  if (kind !== 7) return section;
  const [count, at] = number(section, 0);
  return Buffer.concat([
    numbered(count + 1), section.subarray(at), named('eval_toplevel'), Buffer.from([0]), numbered(imported + evaluates),
  ]);
});
writeFileSync(`${work}/engine.wasm`, engineWasm);
const raw = ['evaluate', 'room', 'settle', 'passRead', 'passWrite'].map(name => `$import_ringfence_javascript_web_bridge_1_0_0$${name}`);
writeFileSync(`${work}/files/initializer.js`, spliced.jsBindings + readFileSync('driver.js', 'utf8').replace('RAW', `[${raw}]`).replace('ENGINE_AT', engineAt));

const binaryen = name => `${packages}/node_modules/binaryen/bin/${name}`;
const FLAGS = ['--all-features'];
run(process.execPath, [binaryen('wasm-as'), ...FLAGS, 'bridge.wat', '-o', `${work}/bridge.wasm`]);
run(process.execPath, [
  binaryen('wasm-merge'), ...FLAGS, `${work}/engine.wasm`, 'engine', `${work}/bridge.wasm`, 'bridge', '-o', `${work}/merged.wasm`,
]);

const environment = { DEBUG: '', SOURCE_NAME: '<boot>', FEATURE_CLOCKS: '1', EXPORT_CNT: String(spliced.exports.length), IMPORT_CNT: String(spliced.imports.length) };
for (const [i, [name, core]] of spliced.exports.entries()) {
  environment[`EXPORT${i}_NAME`] = name;
  environment[`EXPORT${i}_ARGS`] = (core.paramptr ? '*' : '') + core.params.join(',');
  environment[`EXPORT${i}_RET`] = (core.retptr ? '*' : '') + (core.ret || '');
  environment[`EXPORT${i}_RETSIZE`] = String(core.retsize);
}
for (const [i, [, name, count]] of spliced.imports.entries()) {
  environment[`IMPORT${i}_NAME`] = name;
  environment[`IMPORT${i}_ARGCNT`] = String(count);
}
run(wasmtime, [
  'wizer', '-C', 'cache=n', '-S', 'cli=y', '-W', 'unknown-imports-trap=y', '-W', 'max-wasm-stack=4194304', '-W', 'exceptions=y',
  '--init-func', 'componentize.wizer', '--dir', `${work}/files::/`,
  ...Object.entries(environment).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
  '--output', `${work}/snapshot.wasm`, `${work}/merged.wasm`,
], { input: '--initializer-script-path /initializer.js <boot>' });
const adapter = readFileSync(`${packages}/node_modules/@bytecodealliance/jco/lib/wasi_snapshot_preview1.reactor.wasm`);
await tools.$init;
const component = tools.tools.componentNew(readFileSync(`${work}/snapshot.wasm`), [['wasi_snapshot_preview1', adapter]]);
writeFileSync(`${work}/component.wasm`, component);
