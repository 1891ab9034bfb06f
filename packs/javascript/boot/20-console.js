let indent = '';
const counts = new Map(), begun = new Map();

function printLine(fd, args) {
  const text = formatted(args).toWellFormed();
  native.write(fd, (indent ? indent + text.replaceAll('\n', '\n' + indent) : text) + '\n');
}

function tellTime(label, args) {
  if (begun.has(label)) printLine(1, [`${label}: ${(native.clock() - begun.get(label)).toFixed(3)}ms`, ...args]);
}

function printTable(rows) {
  if (rows === null || typeof rows !== 'object') return printLine(1, [rows]);
  const columns = [];
  const body = Object.entries(rows).map(([index, row]) => {
    const cells = row !== null && typeof row === 'object' ? row : { Values: row };
    for (const name of Object.keys(cells)) if (!columns.includes(name)) columns.push(name);
    return [index, cells];
  });
  const head = ['(index)', ...columns];
  const table = body.map(([index, cells]) => [index, ...columns.map(name => name in cells ? inspect(cells[name], 0) : '')]);
  const widths = head.map((name, i) => Math.max(name.length, ...table.map(row => row[i].length)) + 2);
  const rule = (left, middle, right) => left + widths.map(width => '─'.repeat(width)).join(middle) + right;
  const line = row => '│' + row.map((cell, i) => (' ' + cell).padEnd(widths[i])).join('│') + '│';
  printLine(1, [[rule('┌', '┬', '┐'), line(head), rule('├', '┼', '┤'), ...table.map(line), rule('└', '┴', '┘')].join('\n')]);
}

define('console', {
  log(...args) { printLine(1, args); },
  info(...args) { printLine(1, args); },
  debug(...args) { printLine(1, args); },
  error(...args) { printLine(2, args); },
  warn(...args) { printLine(2, args); },
  dir(value, options) { printLine(1, [inspect(value, options?.depth === null ? Infinity : options?.depth ?? 2)]); },
  trace(...args) { printLine(2, [`Trace: ${formatted(args)}\n${new Error().stack.trimEnd()}`]); },
  assert(condition, ...args) {
    if (!condition) printLine(2, args.length ? ['Assertion failed:', ...args] : ['Assertion failed']);
  },
  count(label = 'default') {
    counts.set(label, (counts.get(label) ?? 0) + 1);
    printLine(1, [`${label}: ${counts.get(label)}`]);
  },
  countReset(label = 'default') { counts.delete(label); },
  time(label = 'default') { begun.set(label, native.clock()); },
  timeLog(label = 'default', ...args) { tellTime(label, args); },
  timeEnd(label = 'default') { tellTime(label, []); begun.delete(label); },
  group(...args) { if (args.length) printLine(1, args); indent += '  '; },
  groupCollapsed(...args) { this.group(...args); },
  groupEnd() { indent = indent.slice(2); },
  table: printTable,
});
define('print', (...args) => printLine(1, args));
