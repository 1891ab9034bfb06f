// The command line.
const UNSETTLED = 13;   // as in node
const USAGE = `usage: js [-e CODE | FILE | -] [ARGUMENT...]
  -e, --eval CODE   run CODE
  -v, --version     print the version
  -                 the program comes from stdin, as without FILE
`;

function refuse(text) {
  native.write(2, `js: ${text}\n`);
  return exit(9);
}

// -> [what to call it, its text]; a text that was handed in, of `-e`, or of standard input.
function load(words) {
  let at = 0, name, text;
  for (; at < words.length; at++) {
    const word = words[at];
    if (word === '-e' || word === '--eval') {
      if (at + 1 >= words.length) return refuse(`${word} requires an argument`);
      name = '[eval]', text = encoder.encode(words[at + 1]);
      at += 2;
      break;
    }
    if (word === '-v' || word === '--version') { native.write(1, `StarlingMonkey ${VERSION}\n`); return exit(0); }
    if (word === '-h' || word === '--help') { native.write(1, USAGE); return exit(0); }
    if (word === '--') { at++; break; }
    if (word === '-' || !word.startsWith('-')) break;
    return refuse(`bad option: ${word}\n${USAGE.trimEnd()}`);
  }
  if (name === undefined) {
    name = at < words.length ? words[at++] : '-';
    if (name === '-') name = '[stdin]', text = readAllBytes();
    else text = source();
  }
  argv = ['/usr/bin/js', ...(name.startsWith('[') ? [] : [name]), ...words.slice(at)];
  return [name, text];
}

// What the engine says itself: of a module that cannot be loaded, of promises that were rejected and never handled, of
// errors in listeners. A place, then the error; or words, then a stack.
const PLACED = /^(.*?):(\d+):(\d+) ((?:\w+Error|Error): .*)$/;
const LOADING = /^.*?:\d+:\d+ (?:SyntaxError: |ReferenceError: Error loading module )/;
let threw = false;
function reported(text) {
  const out = [], stack = [];
  for (const line of text.split('\n')) {
    const [, path, row, column, error] = PLACED.exec(line) ?? [];
    if (error && !threw) {
      const place = shown(`${path}:${row}:${column}`), at = path.startsWith('/initializer.js') ? '' : '@' + place;
      out.push(sourceLine({ stack: at }) + error.replace(/:$/, '') + (at && `\n    at ${place}`));
    } else if (/^  .*@/.test(line)) out.push(...frames(line));
    else if (line && line !== 'Stack:' && !error && !PLACED.test(line) && !/^[^ ]+:\d+:\d+ /.test(line)) out.push(line.replace(/^Promise rejected but never handled: /, 'Uncaught (in promise) '));
  }
  return out.length ? out.join('\n') + '\n' : '';
}

// As the engine's own loader of modules calls it: from the root, without `.` and `..`.
function below(path) {
  const parts = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

export const run = {
  run() {
    for (const [name, value] of getEnvironment()) environment[name] = value;
    const [name, text] = load(getArguments().slice(1));
    const path = below(name);
    if (text) {
      displayed.set(path, name);
      keep(name, new TextDecoder().decode(text));
    }
    // Without a text, the engine's loader looks for the file, which is there where a grant has it.
    const well = text ? evaluate(path, text) : evaluate('[start]', encoder.encode(`import ${JSON.stringify('./' + path)};`));
    if (!well && LOADING.test(said())) return exit(1);
    // The import of what is loaded already gives what it threw.
    settle(UNSETTLED, 'js: the program waits at its top level for what never comes\n');
    return import(path).then(() => exit(chosenCode ?? (said() ? 1 : 0)), error => {
      threw = true;
      die(error);
    });
  },
};
