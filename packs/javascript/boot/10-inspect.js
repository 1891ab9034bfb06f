// Values as text, the way node prints them.
const MOST_ITEMS = 100, MOST_CAUSES = 8;
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;
const HEX = Array.from({ length: 256 }, (_, byte) => (byte + 256).toString(16).slice(1));
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const ESCAPES = { '\\': '\\\\', '\b': '\\b', '\t': '\\t', '\n': '\\n', '\f': '\\f', '\r': '\\r' };

function quoted(text) {
  const mark = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !text.includes('`') ? '`' : "'";
  let escaped = text.replace(/[\0-\x1f\x7f-\x9f\\]/g, c => ESCAPES[c] ?? '\\x' + HEX[c.charCodeAt()].toUpperCase());
  if (!escaped.isWellFormed()) escaped = escaped.replace(LONE_SURROGATE, c => '\\u' + c.charCodeAt(0).toString(16));
  return mark + (mark === "'" ? escaped.replaceAll("'", "\\'") : escaped) + mark;
}

function errorText(error, level = 0) {
  let text, stack;
  try { text = String(error); } catch { text = 'Error'; }
  try { stack = error.stack; } catch { }
  if (typeof stack === 'string') {
    stack = stack.split('\n').filter(line => line.trim() && !line.includes('<boot>:')).join('\n');
    if (stack) text += '\n' + stack;
  }
  const part = value => {
    if (!(value instanceof Error)) return inspect(value).replaceAll('\n', '\n  ');
    return level < MOST_CAUSES ? errorText(value, level + 1).replaceAll('\n', '\n  ') : '[' + (value.name || 'Error') + ']';
  };
  try {
    if ('cause' in error && error.cause !== undefined) text += '\n  [cause]: ' + part(error.cause);
    if (Array.isArray(error.errors)) text += '\n  [errors]: ' + error.errors.slice(0, MOST_ITEMS).map(part).join('\n  ');
  } catch { }
  return text;
}

// node's layout: a line of at most 80, short items in columns, at most three levels on one line.
const BREAK_LENGTH = 80, LEVELS_ON_A_LINE = 3, MOST_COLUMNS = 12;

function typeName(value) {
  const prototype = Object.getPrototypeOf(value);
  if (prototype === null) return '[Object: null prototype]';
  return prototype.constructor?.name ?? '';
}

function inColumns(items, numbers, more, indentation) {
  const lengths = items.map(item => item.length + 2), widest = Math.max(...lengths);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  if (widest * 3 + indentation >= BREAK_LENGTH || (total / widest <= 5 && widest > 8)) return null;
  const biased = Math.max(widest - 3 - Math.sqrt(widest - total / (items.length + more)), 1);
  const columns = Math.min(Math.round(Math.sqrt(2.5 * biased * items.length) / biased), Math.floor((BREAK_LENGTH - indentation) / widest), MOST_COLUMNS, 15);
  if (columns <= 1) return null;
  const widths = Array.from({ length: columns }, (_, i) => Math.max(0, ...lengths.filter((_, j) => j % columns === i)));
  const rows = [];
  for (let i = 0; i < items.length; i += columns) {
    const row = items.slice(i, i + columns), last = row.length - 1;
    rows.push(row.map((item, j) => {
      if (j === last) return numbers ? item.padStart(widths[j] - 2) : item;
      return numbers ? `${item}, `.padStart(widths[j]) : `${item}, `.padEnd(widths[j]);
    }).join(''));
  }
  return rows;
}

function laidOut(open, close, items, list, state, level) {
  if (!items.length) return open + close;
  let rows = null;
  if (list && items.length > 6) {
    const more = list.length > MOST_ITEMS ? 1 : 0, last = more ? items.pop() : null;
    rows = inColumns(items, Array.prototype.every.call(list, item => typeof item === 'number' || typeof item === 'bigint'), more, state.indentation);
    if (more) items.push(last), rows?.push(last);
  }
  if (!rows && state.reached - level < LEVELS_ON_A_LINE) {
    const length = items.reduce((sum, item) => sum + item.length, 2 * items.length + state.indentation + open.length + 10);
    if (length <= BREAK_LENGTH && !items.some(item => item.includes('\n'))) return `${open} ${items.join(', ')} ${close}`;
  }
  const line = '\n' + ' '.repeat(state.indentation);
  return `${open}${line}  ${(rows ?? items).join(`,${line}  `)}${line}${close}`;
}

function listItems(value, out, show) {
  const count = Math.min(value.length, MOST_ITEMS), sparse = Array.isArray(value);
  let holes = 0;
  const tellHoles = () => {
    if (holes) out.push(`<${holes} empty item${holes > 1 ? 's' : ''}>`);
    holes = 0;
  };
  for (let i = 0; i < count; i++) {
    if (sparse && !(i in value)) { holes++; continue; }
    tellHoles();
    out.push(show(value[i]));
  }
  tellHoles();
  const more = value.length - count;
  if (more) out.push(`... ${more} more item${more > 1 ? 's' : ''}`);
}

function collectionItems(entries, size, out, show) {
  for (const entry of entries) {
    if (out.length >= MOST_ITEMS) {
      const more = size - MOST_ITEMS;
      out.push(`... ${more} more item${more > 1 ? 's' : ''}`);
      break;
    }
    out.push(show(entry));
  }
}

function properties(value, out, show, isList) {
  for (const key of Reflect.ownKeys(value)) {
    if (isList && typeof key === 'string' && /^\d+$/.test(key)) continue;
    const found = Object.getOwnPropertyDescriptor(value, key);
    if (!found?.enumerable) continue;
    const name = typeof key === 'symbol' ? `[${key.toString()}]` : IDENTIFIER.test(key) ? key : quoted(key);
    const shown = found.get ? (found.set ? '[Getter/Setter]' : '[Getter]') : found.set ? '[Setter]' : show(found.value);
    out.push(`${name}: ${shown}`);
  }
}

function boxed(value) {
  for (const type of [Number, Boolean, String, BigInt, Symbol]) {
    if (value instanceof type) return `[${type.name}: ${inspect(value.valueOf())}]`;
  }
  return null;
}

function functionText(value) {
  const source = Function.prototype.toString.call(value);
  let kind = 'Function';
  if (/^class\b/.test(source)) {
    const parent = Object.getPrototypeOf(value)?.name;
    return `[class ${value.name || '(anonymous)'}${parent ? ' extends ' + parent : ''}]`;
  }
  try { kind = value.constructor.name || kind; } catch { }
  return value.name ? `[${kind}: ${value.name}]` : `[${kind} (anonymous)]`;
}

// `state`: depth left to show, objects being shown, indentation, the deepest level reached last, and numbers of
// objects that contain themselves.
function objectText(value, state, level) {
  if (state.seen.includes(value)) {
    if (!state.circular.has(value)) state.circular.set(value, state.circular.size + 1);
    return `[Circular *${state.circular.get(value)}]`;
  }
  let name, tag = '';
  try {
    name = typeName(value);
    tag = value[Symbol.toStringTag];
  } catch { return '[Proxy]'; }
  if (value instanceof Date) return isNaN(value) ? 'Invalid Date' : value.toISOString();
  if (value instanceof RegExp) return String(value);
  const isArray = Array.isArray(value), isList = isArray || ArrayBuffer.isView(value) && !(value instanceof DataView);
  const simple = boxed(value);
  if (simple) return simple;
  if (level > state.depth) return isArray ? '[Array]' : `[${name || 'Object'}]`;
  state.seen.push(value);
  state.reached = level;
  const items = [], show = item => {
    state.indentation += 2;
    const text = valueText(item, state, level + 1);
    state.indentation -= 2;
    return text;
  };
  let prefix = name && name !== 'Object' ? name + ' ' : '', open = '{', close = '}';
  if (typeof tag === 'string' && tag && tag !== name) prefix = `${name || 'Object'} [${tag}] `;
  if (typeof value === 'function') prefix = functionText(value) + ' ';
  try {
    if (isList) {
      open = '[', close = ']';
      prefix = isArray && name === 'Array' ? '' : `${name}(${value.length}) `;
      listItems(value, items, show);
    } else if (value instanceof Map) {
      prefix = `${name}(${value.size}) `;
      collectionItems(value, value.size, items, ([key, item]) => `${show(key)} => ${show(item)}`);
    } else if (value instanceof Set) {
      prefix = `${name}(${value.size}) `;
      collectionItems(value, value.size, items, show);
    } else if (value instanceof Promise) {
      prefix = `${name} `;
      const [settled, result] = native.promiseState(value);
      items.push(settled ? (settled === 2 ? '<rejected> ' : '') + show(result) : '<pending>');
    } else if (value instanceof ArrayBuffer) {
      const bytes = Array.from(new Uint8Array(value, 0, Math.min(50, value.byteLength)), byte => HEX[byte]);
      items.push(`[Uint8Contents]: <${bytes.join(' ')}>`, `byteLength: ${value.byteLength}`);
      prefix = `${name} `;
    } else if (value instanceof WeakMap || value instanceof WeakSet) {
      prefix = `${name} `;
      items.push('<items unknown>');
    }
    properties(value, items, show, isList);
  } catch (error) { items.push(`<${error}>`); }
  state.seen.pop();
  let text = laidOut(prefix + open, close, items, isList ? value : null, state, level);
  if (state.circular.has(value)) text = `<ref *${state.circular.get(value)}> ${text}`;
  return text;
}

function valueText(value, state, level) {
  switch (typeof value) {
    case 'string': return quoted(value);
    case 'bigint': return value + 'n';
    case 'symbol': return value.toString();
    case 'number': return Object.is(value, -0) ? '-0' : String(value);
    case 'function': return Object.keys(value).length ? objectText(value, state, level) : functionText(value);
    case 'object': break;
    default: return String(value);
  }
  if (value === null) return 'null';
  if (!(value instanceof Error)) return objectText(value, state, level);
  const text = errorText(value);
  return state.indentation ? text.replaceAll('\n', '\n' + ' '.repeat(state.indentation)) : text;
}

function inspect(value, depth = 2) {
  return valueText(value, { depth, seen: [], indentation: 0, reached: 0, circular: new Map() }, 0);
}

function formatted(args) {
  if (args.length === 1 && typeof args[0] === 'string') return args[0];
  let next = 0, text = '';
  if (typeof args[0] === 'string' && args.length > 1 && args[0].includes('%')) {
    next = 1;
    text = args[0].replace(/%[sdifjoOc%]/g, directive => {
      if (directive === '%%') return '%';
      if (next >= args.length) return directive;
      const value = args[next++];
      switch (directive) {
        case '%s': return typeof value === 'string' ? value : inspect(value, 1);
        case '%d': return typeof value === 'bigint' ? value + 'n' : typeof value === 'object' ? 'NaN' : String(Number(value));
        case '%i': return String(parseInt(value));
        case '%f': return String(parseFloat(value));
        case '%j': return JSON.stringify(value);
        case '%c': return '';
        default: return inspect(value, 4);
      }
    });
    if (next < args.length) text += ' ';
  }
  return text + args.slice(next).map(value => typeof value === 'string' ? value : inspect(value)).join(' ');
}

// The sources of the last cells, for the line that an uncaught error comes from.
const KEPT_SOURCES = 200, LONGEST_LINE = 500;
const sources = new Map();

function keep(name, text) {
  sources.set(name, text);
  if (sources.size > KEPT_SOURCES) sources.delete(sources.keys().next().value);
}

function sourceLine(error) {
  let stack;
  try { stack = error.stack; } catch { }
  if (typeof stack !== 'string') return '';
  for (const [, name, row, column] of stack.matchAll(/^ *at (?:.* \()?(.+?):(\d+):(\d+)\)?$/gm)) {
    const line = sources.get(name)?.split('\n', row)[row - 1];
    if (line === undefined) continue;
    if (line.length > LONGEST_LINE) return '';
    return `${name}:${row}\n${line}\n${line.slice(0, column - 1).replace(/[^\t]/g, ' ')}^\n\n`;
  }
  return '';
}

function describeError(error) {
  const isError = error instanceof Error;
  const text = isError ? sourceLine(error) + errorText(error) : 'Uncaught ' + inspect(error);
  return {
    type: isError ? String(error.name).toWellFormed() : 'Uncaught',
    message: (isError ? String(error.message) : inspect(error)).toWellFormed(),
    traceback: text.toWellFormed() + '\n',
  };
}
