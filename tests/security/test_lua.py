"""Attacks in Lua: endless, boundless and forged, and on the driver that runs them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ringfence import Limits, Policy, Result
from security.isolated import run_code
from waiting import late

pytest.importorskip("ringfence_language_lua", reason="the language pack is not installed")
pytestmark = pytest.mark.usefixtures("isolation")

WALL = 0.3
ENDLESS = [
    "while true do end",
    "repeat pcall(error) until false",
    "repeat pcall(function() while true do end end) until false",
    "debug.sethook() while true do end",
    "local function f() return f() end f()",
    "coroutine.wrap(function() while true do coroutine.yield() end end)() while true do end",
    "string.find(('a'):rep(100000), ('.-'):rep(30) .. 'b')",
    "setmetatable({}, {__gc = function() while true do end end})",
    "setmetatable(_G, {__index = function(t, k) return t[k .. '.'] end}) print(nothing)",
    "table.concat(setmetatable({}, {__len = function() return 1 << 60 end, __index = function() return '' end}))",
    "load(function() return ' ' end)",
    "for i in function() return 1 end do end",
    "xpcall(error, function() while true do end end)",
]
HOGS = [
    "local t = {} for i = 1, 1e18 do t[i] = {} end",
    "local s = 'x' while true do s = s .. s end",
    "string.rep('x', 1 << 31)",
    "('x'):rep(1e6):rep(1e6)",
    "local t = {} while true do t[#t + 1] = coroutine.create(print) end",
    "table.pack(table.unpack({}, 1, 1e7))",
    "string.pack('!16 i16', 1):rep(1e9)",
]


def attack(text: str, **keywords: Any) -> Result:
    """Run the attack, where the fixture says."""
    return run_code(text, "lua", **keywords)


def alive() -> None:
    """Look whether the next run is as if nothing had been."""
    assert "aa\tnil\tnil\n" == attack("print(('a'):rep(2), left, os.getenv('HOME'))").check().text


@pytest.mark.parametrize("text", ENDLESS)
def test_endless_program_ends_at_the_deadline(text: str) -> None:
    """Or before, of its own; nothing it catches or closes runs on."""
    attack("")  # compiled before the clock starts
    begun = time.monotonic()

    result = attack(text, policy=Policy(limits=Limits(wall=WALL, memory="64MiB")))

    assert result.outcome in {"limited", "exited"}
    assert time.monotonic() - begun < WALL + late(2)
    alive()


@pytest.mark.parametrize("text", HOGS)
def test_hog_of_memory_gets_an_error_or_is_limited(text: str) -> None:
    """What it takes is its own limit, and the next run has all of it again."""
    result = attack(text, policy=Policy(limits=Limits(wall=20, memory="32MiB")))

    assert (result.outcome, result.limit) in {("exited", None), ("limited", "memory")}
    assert 1 == result.exit_code
    alive()


@pytest.mark.parametrize(
    "text",
    [
        "while true do print(('x'):rep(1000)) end",
        "while true do io.stderr:write(('x'):rep(500)) end",
        "while true do io.write(('x'):rep(1 << 20)) end",
        "warn('@on') while true do warn(('y'):rep(500)) end",
    ],
)
def test_flood_of_output_ends_at_its_limit(text: str) -> None:
    """Whichever way it writes."""
    result = attack(text, policy=Policy(limits=Limits(wall=20, output="1MiB")))

    assert ("limited", "output") == (result.outcome, result.limit)
    assert len(result.stdout) + len(result.stderr) <= 1 << 20
    alive()


@pytest.mark.parametrize(
    "text",
    [
        "local function f() return 1 + f() end f()",
        "string.gsub('x', 'x', function f() end)",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end print(t.x)",
        "local function f() return pcall(f) end print(f()) error('deep')",
        "local function f() return (('x'):gsub('x', f)) end f()",
        "local function f() table.sort({1, 2}, f) end f()",
        "local function f() coroutine.wrap(f)() end f()",
        "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return tostring(t) end tostring(t)",
        "local t = setmetatable({}, {}) getmetatable(t).__concat = function(a, b) return a .. b end print(t .. t)",
        "assert(load(('('):rep(100000)))",
        "assert(load(('{'):rep(100000)))",
        "assert(load(('function f() '):rep(100000)))",
        "assert(load('return ' .. ('-'):rep(100001):gsub('--', '- -')))",
        "assert(load('x = ' .. ('a.b ^'):rep(100000)))",
        "string.find(('('):rep(100), ('('):rep(100))",
        "error(string.find(('a'):rep(300000), ('a?'):rep(300000)))",
        "local x = {} for i = 1, 1e5 do x = setmetatable({}, {__index = x}) end error(x.y)",
        "xpcall(error, function() local function g() g() end g() end) error()",
    ],
)
def test_depth_is_an_error_of_the_language_and_never_a_trap(text: str) -> None:
    """Whatever goes down: Lua's own limits end before the stack does."""
    result = attack(text, policy=Policy(limits=Limits(wall=20, memory="256MiB")))

    assert ("exited", 1) == (result.outcome, result.exit_code), result
    assert result.stderr.startswith(b"lua: ")


def test_nothing_starts_processes_or_loads_code_of_the_host() -> None:
    """What could is refused in the words of Lua."""
    text = """
        print(os.execute(), select(2, os.execute('id')), select(2, pcall(io.popen, 'id')))
        print((select(2, package.loadlib('/lib/x86_64-linux-gnu/libc.so.6', 'system'))))
        print((select(2, pcall(require, 'socket'))))
    """

    told = attack(text).check().text.splitlines()

    assert ["false\tFunction not implemented\t'popen' not supported"] == told[:1]
    assert "dynamic libraries not enabled; check your Lua installation" == told[1]
    assert told[2].startswith("module 'socket' not found")


def test_nothing_of_the_host_is_seen() -> None:
    """No variables, files or folders; nothing is written."""
    text = """
        for _, name in ipairs { 'HOME', 'PATH', 'USER', 'LUA_PATH' } do assert(not os.getenv(name)) end
        for _, path in ipairs { '/etc/passwd', '/proc/self/environ', '../../etc/passwd', '/dev/tty', 'lua.wasm', '' } do
            assert(not io.open(path) and not io.open(path, 'a') and not loadfile(path) and not os.remove(path))
        end
        assert(not io.tmpfile() and not pcall(os.tmpname) and not os.rename('a', 'b'))
        print(#arg, debug.getinfo(1, 'S').source)
    """

    assert "0\t=(command line)\n" == attack(text).check().text


def test_forged_messages_to_the_host_are_refused() -> None:
    """Every kind there is and is not, with payloads that are nonsense: an error each, nothing else."""
    text = r"""
        local refused, answered = 0, {}
        local function send(message)
            local sent = pcall(ringfence.raw, message)
            if sent then answered[#answered + 1] = message:byte() else refused = refused + 1 end
        end
        send('')
        for kind = 0, 255 do
            send(string.char(kind, 0)) send(string.char(kind, 255, 255))
            send(string.char(kind) .. '\x9b' .. ('\xff'):rep(8))
            local noise = {}
            for i = 1, 64 do noise[i] = string.char(math.random(0, 255)) end
            send(string.char(kind) .. table.concat(noise))
        end
        send(('x'):rep(100 << 20))
        local many = {n = 1 << 40}
        for _, call in ipairs { {'other', {}}, {'x', many}, {'x', {}, {[{}] = 1}}, {('x'):rep(1000), {print}} } do
            if not pcall(ringfence.call, table.unpack(call)) then refused = refused + 1 end
        end
        print(#answered, refused)
    """

    assert "0\t1030\n" == attack(text, policy=Policy(limits=Limits(wall=20, memory="512MiB"))).check().text


@pytest.mark.parametrize(
    "text",
    [
        "for name in pairs(_G) do if name ~= '_G' then _G[name] = nil end end",
        "for n, lib in pairs(package.loaded) do if n ~= '_G' then for k in pairs(lib) do lib[k] = nil end end end",
        "setmetatable(_G, {__index = error, __newindex = error})",
        "debug.setmetatable('', nil) debug.setmetatable(nil, {__index = function() error({}) end})",
        "local all = debug.getregistry() for k in pairs(all) do if k ~= 1 and k ~= 2 then all[k] = nil end end",
        "ringfence.HostError.__tostring = error string.format = nil tostring = nil",
    ],
)
def test_program_that_breaks_its_own_language_still_ends(text: str) -> None:
    """Whatever it takes away, its error ends it with 1."""
    result = attack(text + " local function f() local x = nil + 1 end f()")

    assert ("exited", 1) == (result.outcome, result.exit_code)
    alive()


@pytest.mark.parametrize("seed", range(6))
def test_forged_bytecode_reaches_nothing_but_its_own_memory(seed: int) -> None:
    """Lua loads bytecode unchecked, so a guest can write over its driver: it ends, one way or another."""
    text = f"""
        local state = {seed + 1}
        local function random(n) state = state * 48271 % 2147483647 return state % n + 1 end
        local function make(a, ...)
            local t = {{a, 'x', ...}} for i = 1, #t do t[i] = tostring(t[i]) .. i end
            return table.concat(t), function() a = (a or 0) + 1 return a end
        end
        local whole = string.dump(make)
        for i = 1, 3000 do
            local bytes = {{whole:byte(1, -1)}}
            for k = 1, random(4) do bytes[random(#bytes - 40) + 32] = random(256) - 1 end
            local parts = {{}}
            for k = 1, #bytes do parts[k] = string.char(bytes[k]) end
            local made = load(table.concat(parts), 'forged', 'b')
            if made then pcall(made, 1, 2) end
        end
    """

    result = attack(text, policy=Policy(limits=Limits(wall=3, memory="64MiB")))

    assert result.outcome in {"exited", "trapped", "limited"}
    alive()
