<?php
// What a session needs of PHP. This is run once, and ends where it tells the driver that it is there; then the driver
// calls `Ringfence\prepared` and `Ringfence\told` for each turn.

namespace Ringfence;

const OPENING = [40, 91, 123, T_CURLY_OPEN, T_DOLLAR_OPEN_CURLY_BRACES, T_ATTRIBUTE], CLOSING = [41, 93, 125], BRACE = 123, END = 59;
const OUTSIDE = [T_INLINE_HTML, T_OPEN_TAG_WITH_ECHO, T_CLOSE_TAG];
const NOTHING = 0, VALUE = 1, ERROR = 2, WANT_VALUE = 1, DEPTH = 100, ITEMS = 4 << 20;
// What ended a turn, beside PHP.
const ENDED = [2 => ['TimeoutError', 'the time of this turn is up', 124], ['KeyboardInterrupt', '', 130],
    ['MemoryError', 'the limit on memory is near', 1]];

// What a function of the host raised.
class HostError extends \RuntimeException
{
    public function __construct(public readonly string $type, string $message)
    {
        parent::__construct($message);
        foreach ($this->getTrace() as $frame) {
            if (isset($frame['file']) && !str_starts_with($frame['file'], __FILE__)) {
                [$this->file, $this->line] = [$frame['file'], $frame['line']];
                return;
            }
        }
    }
}

class NotPlain extends \Exception
{
}

// Messages go through a device of the driver's.
function ask(string $message): ?string
{
    static $door = null;
    if (!is_resource($door)) {
        $door = fopen('/dev/ringfence', 'r+b');
        stream_set_read_buffer($door, 0);
        stream_set_write_buffer($door, 0);
    }
    fwrite($door, $message);
    ['refused' => $refused, 'length' => $length] = unpack('Crefused/Vlength', fread($door, 5));
    return $refused ? null : ($length ? fread($door, $length) : '');
}

// Values: CBOR.
function head(int $major, int $n): string
{
    return match (true) {
        $n < 24 => chr($major << 5 | $n),
        $n < 1 << 8 => pack('CC', $major << 5 | 24, $n),
        $n < 1 << 16 => pack('Cn', $major << 5 | 25, $n),
        default => pack('CN', $major << 5 | 26, $n),
    };
}

function text(string $text): string
{
    return head(3, strlen($text)) . $text;
}

function integer(int $n): string
{
    return $n < 0 ? head(1, -1 - $n) : head(0, $n);
}

// Gives the bytes of a value, which is plain all through.
function written(mixed $value, int $depth, int &$items): string
{
    if ($depth > DEPTH || ++$items > ITEMS) {
        throw new NotPlain();
    }
    if (is_array($value)) {
        $list = array_is_list($value);
        $parts = [head($list ? 4 : 5, count($value))];
        foreach ($value as $key => $held) {
            if (!$list) {
                $parts[] = is_int($key) ? integer($key) : key_text($key);
            }
            $parts[] = written($held, $depth + 1, $items);
        }
        return implode('', $parts);
    }
    return match (true) {
        $value === null => "\xf6",
        is_bool($value) => $value ? "\xf5" : "\xf4",
        is_int($value) => integer($value),
        is_float($value) => "\xfb" . pack('E', $value),
        is_string($value) => mb_check_encoding($value, 'UTF-8') ? text($value) : head(2, strlen($value)) . $value,
        default => throw new NotPlain(),
    };
}

function key_text(string $key): string
{
    return mb_check_encoding($key, 'UTF-8') ? text($key) : throw new NotPlain();
}

function plain(mixed $value): string
{
    $items = 0;
    return written($value, 0, $items);
}

// Gives the value that stands at a place, and goes on behind it. Integers that PHP has not are floats.
function value(string $bytes, int &$at): mixed
{
    $first = ord($bytes[$at++]);
    [$major, $n] = [$first >> 5, $first & 31];
    if ($major === 7) {
        return match ($n) {
            20 => false,
            21 => true,
            27 => unpack('E', taken($bytes, $at, 8))[1],
            default => null,
        };
    }
    if ($n > 23) {
        $number = 0.0;
        foreach (unpack('C*', taken($bytes, $at, 1 << $n - 24)) as $byte) {
            $number = $number * 256 + $byte;
        }
        $n = $number > PHP_INT_MAX ? $number : (int) $number;
    }
    switch ($major) {
        case 0:
            return $n;
        case 1:
            return -1 - $n;
        case 2:
        case 3:
            return taken($bytes, $at, $n);
        case 4:
        case 5:
            $held = [];
            for ($i = 0; $i < $n; $i++) {
                $key = $major === 4 ? $i : value($bytes, $at);
                $held[$key] = value($bytes, $at);
            }
            return $held;
        default:
            $big = 0.0;
            foreach (unpack('C*', value($bytes, $at)) as $byte) {
                $big = $big * 256 + $byte;
            }
            return $n === 3 ? -1 - $big : $big;
    }
}

function taken(string $bytes, int &$at, int $n): string
{
    $at += $n;
    return substr($bytes, $at - $n, $n);
}

// The functions of the host: `name(...)`, or `Host\name(...)` where PHP has a function of that name.
function offer(): void
{
    $at = 0;
    $listed = ask('L');
    foreach ($listed === null ? [] : value($listed, $at) as ['name' => $name]) {
        foreach (['Host', ''] as $space) {
            if (!function_exists(ltrim("$space\\$name", '\\'))) {
                try {
                    eval("namespace $space { function $name(mixed ...\$given): mixed { return \\Ringfence\\call('$name', \$given); } }");
                } catch (\ParseError) {
                    // PHP has it as a word of its own.
                }
            }
        }
    }
}

function call(string $name, array $given): mixed
{
    $named = array_filter($given, is_string(...), ARRAY_FILTER_USE_KEY);
    try {
        $message = 'F' . head(4, 3) . text($name) . plain(array_values(array_diff_key($given, $named)));
        $message .= $named ? plain($named) : head(5, 0);
    } catch (NotPlain) {
        throw new \TypeError("only plain values reach the host, in a call of $name()");
    }
    $at = 0;
    $answer = ask($message) ?? throw new \Error("Call to undefined function $name()");
    $told = value($answer, $at);
    return $told[0] ? throw new HostError($told[1], $told[2]) : $told[1];
}

function is_whole(string $text): bool
{
    try {
        \PhpToken::tokenize("<?php $text", TOKEN_PARSE);
        return true;
    } catch (\ParseError) {
        return false;
    }
}

// Gives the text of a turn so that its last statement, where that is an expression, is what the turn gives. It need not end
// in a `;`.
function prepared(): string
{
    error_clear_last();
    $source = preg_replace('/\A\s*<\?php\b/', '', ask("\0t") ?? '');
    foreach (last_statements($source) as $at) {
        $text = substr($source, 0, $at) . 'return ' . substr($source, $at) . "\n;";
        if (is_whole($text)) {
            return $text;
        }
    }
    return !is_whole($source) && is_whole("$source\n;") ? "$source\n;" : $source;
}

// Where the last statement may begin: behind the last `;`, or behind a `}` that comes later.
function last_statements(string $source): array
{
    [$places, $last, $next, $open] = [[], [], true, []];
    foreach (\PhpToken::tokenize("<?php $source") as $token) {
        if ($token->isIgnorable()) {
            continue;
        }
        if ($next && !$open && $token->id !== END) {
            $places[] = $token->pos - strlen('<?php ');
        }
        $next = false;
        if (in_array($token->id, OPENING, true)) {
            $open[] = $token->id;
        } elseif (in_array($token->id, CLOSING, true)) {
            $next = array_pop($open) === BRACE;
        } elseif (!$open && $token->id === END) {
            [$next, $last, $places] = [true, $places ?: $last, []];
        } elseif (!$open && in_array($token->id, OUTSIDE, true)) {
            [$next, $last, $places] = [true, [], []];
        }
    }
    return array_reverse($places ?: $last);
}

function clean(string $text): string
{
    $before = mb_substitute_character();
    mb_substitute_character(0xfffd);
    $text = mb_scrub($text, 'UTF-8');
    mb_substitute_character($before);
    return $text;
}

function described(string $type, string $message, string $whole): string
{
    $told = head(5, 3);
    foreach (['type' => $type, 'message' => $message, 'traceback' => "$whole\n"] as $name => $text) {
        $told .= text($name) . text(clean($text));
    }
    return $told;
}

function error(\Throwable $error): string
{
    $type = $error instanceof HostError ? $error->type : strtok($error::class, "\0");
    try {
        $whole = "Uncaught $error\n  thrown in {$error->getFile()} on line {$error->getLine()}";
    } catch (\Throwable) {
        $whole = "Uncaught $type: {$error->getMessage()}";
    }
    return described($type, $error->getMessage(), 'PHP Fatal error:  ' . without_ours($whole));
}

// Leaves the frames of this file out of a trace.
function without_ours(string $trace): string
{
    $count = 0;
    $ours = '/^#\d+ ' . preg_quote(__FILE__, '/') . ".*\n/m";
    return preg_replace_callback('/^#\d+/m', function () use (&$count) {
        return '#' . $count++;
    }, preg_replace($ours, '', $trace));
}

// Tells the driver what a turn came to: a value, an error, or how it was ended.
function told(mixed $value, ?\Throwable $error, int $ended, int $flags): void
{
    [$status, $code, $given, $failure] = [NOTHING, 0, '', ''];
    if (isset(ENDED[$ended])) {
        [$type, $message, $code] = ENDED[$ended];
        [$status, $failure] = [ERROR, described($type, $message, "PHP Fatal error:  $type: $message")];
    } elseif ($ended) {
        $last = error_get_last() ?? ['message' => 'PHP ended the turn, and does not say why'];
        $place = isset($last['file']) ? " in {$last['file']} on line {$last['line']}" : '';
        $failure = described('FatalError', $last['message'], "PHP Fatal error:  {$last['message']}$place");
        [$status, $code] = [ERROR, 1];
    } elseif ($error) {
        [$status, $code, $failure] = [ERROR, 1, error($error)];
    } elseif ($value !== null && $flags & WANT_VALUE) {
        try {
            [$status, $given] = [VALUE, plain($value)];
        } catch (NotPlain) {
            [$status, $code, $given] = [VALUE, 1, clean(trim(print_r($value, true)))];
        }
    }
    ask("\0r" . pack('V4', $status, $code, strlen($given), strlen($failure)) . $given . $failure);
}

// A session has no script, and no arguments.
function begin(): void
{
    foreach (['SCRIPT_FILENAME', 'SCRIPT_NAME', 'PHP_SELF', 'PATH_TRANSLATED'] as $name) {
        $_SERVER[$name] = '';
    }
    $_SERVER['argv'] = $GLOBALS['argv'] = [''];
    $_SERVER['argc'] = $GLOBALS['argc'] = 1;
    offer();
    ask("\0l");
}

begin();
