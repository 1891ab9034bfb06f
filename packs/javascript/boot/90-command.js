// The command line, and what the driver calls.
const SCRIPT = 0, MODULE = 1, FOUND = 2;   // AS_SCRIPT, AS_MODULE and AS_FOUND of driver.h
const USAGE = `usage: js [-e CODE | -p EXPRESSION | FILE | -] [ARGUMENT...]
  -e, --eval CODE         run CODE
  -p, --print EXPRESSION  run it and print its value
  -m, --module            the program is an ES module
  -s, --script            the program is a script
  -v, --version           print the version
  -                       the program comes from stdin, as without FILE
`;

function refuse(text) {
  native.write(2, `js: ${text}\n`);
  return 9;
}

// A folder is opened as a file is, and nothing is in it.
function unreadable(file) {
  const [found, error] = os.stat(file);
  if (error) return std.strerror(error);
  return (found.mode & os.S_IFMT) === os.S_IFDIR ? 'it is a directory' : '';
}

// -> [kind, text, name, print], or an exit code
function prepare(words) {
  let kind = FOUND, at = 1, text, name, print = false;
  for (; at < words.length; at++) {
    const word = words[at];
    if (['-e', '--eval', '-p', '--print', '-pe'].includes(word)) {
      if (at + 1 >= words.length) return refuse(`${word} requires an argument`);
      print = word.includes('p');
      text = words[at + 1];
      name = '[eval]';
      at += 2;
      break;
    }
    if (word === '-m' || word === '--module') kind = MODULE;
    else if (word === '-s' || word === '--script') kind = SCRIPT;
    else if (word === '-v' || word === '--version') { native.write(1, `QuickJS-NG ${native.version}\n`); return 0; }
    else if (word === '-h' || word === '--help') { native.write(1, USAGE); return 0; }
    else if (word === '--') { at++; break; }
    else if (word === '-' || !word.startsWith('-')) break;
    else return refuse(`bad option: ${word}\n${USAGE.trimEnd()}`);
  }
  if (text === undefined) {
    const file = at < words.length ? words[at++] : '-';
    if (file === '-') {
      text = std.in.readAsString();
      name = '[stdin]';
    } else {
      const handed = native.source();
      text = handed ?? std.loadFile(file);
      name = file;
      const why = text || handed === '' ? '' : unreadable(file);
      if (why) { native.write(2, `js: cannot read '${file}': ${why}\n`); return 1; }
      if (kind === FOUND && /\.mjs$/.test(file)) kind = MODULE;
      if (kind === FOUND && /\.cjs$/.test(file)) kind = SCRIPT;
    }
  }
  if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
  const rest = words.slice(at);
  argv = ['/usr/bin/js', ...(name.startsWith('[') ? [] : [name]), ...rest];
  globalThis.scriptArgs = [name, ...rest];
  keep(name, text);
  return [kind, text, name, print];
}

// The first call in a fork; `words` is null where it is a copy of a session that runs already.
function resume(words, variables) {
  releaseHeld();
  if (!words) return;
  sources.clear(), counts.clear(), begun.clear();
  environment = {};
  for (const variable of variables) {
    const at = variable.indexOf('=');
    if (at > 0) environment[variable.slice(0, at)] = variable.slice(at + 1);
  }
  argv = ['/usr/bin/js', ...words.slice(1)];
  globalThis.scriptArgs = words.slice(1);
}

function print(value) {
  if (value !== undefined) printLine(1, [value]);
}

native.boot({ fire, takeAnswers, describeError, inspect: value => inspect(value).toWellFormed(), print, hold, resume, functions, exitCode, prepare, reset, keep });
