"""Attacks in Ruby: endless, boundless, forged, and on the driver that runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from security.hostile import Hostile

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip(
    "ringfence_language_ruby", reason="NOT TESTED: ruby is not installed (`ringfence languages install ruby`: minutes)"
)
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("compiled_ruby", "isolation")]

RUBY = Hostile("ruby", "p [1, 2].sum, defined?($left), ENV.size", "3\nnil\n0\n")
attack, alive = RUBY.attack, RUBY.alive
ENDLESS = [
    "loop {}",
    "begin; loop {}; ensure; loop {}; end",
    "at_exit { loop {} }",
    "trap('EXIT') { loop {} }",
    "trap('SYS') {}; loop { begin; sleep 100; rescue Exception; end }",
    "(/^(a|a)*$/ =~ 'a' * 60 + 'b'; loop { 2 ** 4_000_000 })",
    "sleep",
    "class E < StandardError; def message = loop {}; end; raise E",
    "Fiber.new { loop { Fiber.yield } }.then { |f| loop { f.resume } }",
    "ObjectSpace.define_finalizer(+'x', proc { loop {} }); loop { GC.start }",
    "module Kernel; def raise(*) = loop {}; end; class Object; def method_missing(*) = loop {}; end; nope",
]
HOGS = [
    "a = []; loop { a << 'x' * 1_000_000 }",
    "a = [0]; loop { a += a }",
    "s = +'x'; loop { s << s }",
    "h = {}; loop { h[h.size] = [h.size] * 10 }",
    "a = []; loop { a << Fiber.new {}.tap(&:resume) << Object.new }",
    "x = 2; loop { x = x ** 3 }",
]
# Methods of the driver are not hidden from a program: nothing it can say through them is believed.
FORGED = [
    "n.ask('')",
    "n.ask('Q')",
    "n.ask('F' + '\\xff' * 1000)",
    "n.ask('F' * 10_000_000)",
    "n.ask('H' + \"\\xa1\" + 'x' * 100)",
    'n.ask("\\0r")',
    "n.ask(\"\\0r\" + [9, 9, 0xffffffff, 0xffffffff].pack('L4'))",
    "n.ask(\"\\0c\" + [1 << 30].pack('l'))",
    '1000.times { n.ask("\\0i"); n.ask("\\0t"); n.ask("\\0a") }',
    "d.resume; d.resume_copy; d.turn(true); d.run; d.ended",
    "$__ringfence = nil",
    "Ringfence.send(:remove_const, :Driver)",
    "class Ringfence::Native; def ask(*) = 'x'; end",
    "class Array; def pack(*) = ''; end; class String; def unpack1(*) = nil; end",
    "[String, Array, Kernel, Object].each { |c| c.instance_methods.each { |m| c.send(:undef_method, m) rescue 0 } }",
]


@pytest.mark.parametrize("code", ENDLESS)
def test_endless_ruby_ends_at_its_deadline(code: str) -> None:
    """Whatever it is busy with, handlers and ends included."""
    RUBY.endless(f"$left = 1; {code}")


@pytest.mark.parametrize("code", HOGS)
def test_hog_of_memory_ends_at_its_limit(code: str) -> None:
    """As a limit, or as Ruby's own error; never as the host's."""
    result = RUBY.hog(code)

    assert "memory" == result.limit or b"Error" in result.stderr, result


def test_flood_of_output_ends_at_its_limit() -> None:
    """On both streams, at once and by little."""
    RUBY.floods(
        ["loop { puts 'x' * 1000 }", "$stderr.sync = true; loop { $stderr.write 'x' }", "print 'x' * (1 << 27)"]
    )


@pytest.mark.parametrize("code", [
    "def f = f()\nf", "def f(&b) = [1].each { f(&b) }\nf {}", "a = []; 100_000.times { a = [a] }; a.inspect",
    "a = []; 100_000.times { a = [a] }; Marshal.dump(a)", "JSON.parse('[' * 100_000, max_nesting: 0)",
    "Regexp.new('(' * 50_000)", "def f = Fiber.new { f }.resume\nf", "def f = eval('f')\nf", "eval('[' * 3_000)",
    "def f = [1].each { begin; f; rescue SystemStackError; retry; end }\nf",
    "def f = [1].each { begin; f; ensure; f; end }\nf", "at_exit { def f = [1].each { f }; f }; exit",
    "class SystemStackError; def message = [1].each { message }; end\ndef f = [1].each { f }\nf",
    "def f(&b) = open('/x', 'w') { f(&b) } rescue [1].each { f(&b) }\nf {}",
    "Fiber.new { def f = [1].each { f }; f }.resume", "def f = [1].each { GC.start; f }\nf",
])  # fmt: skip
def test_deep_recursion_ends_only_its_own_run(code: str) -> None:
    """Ruby's own error, a limit, or a trap."""
    RUBY.deep(code, "unreachable", wall=20)


def test_nothing_of_the_host_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables, files, processes, sockets or users; what is in the pack cannot be changed for others."""
    monkeypatch.setenv("SECRET", "s3cr3t")
    (tmp_path / "secret").write_text("s3cr3t", encoding="utf-8")
    code = f"""
        p ENV.to_h, ARGV, Dir.pwd
        %w[{tmp_path}/secret /etc/passwd ../../etc/passwd /proc/self/environ /dev/mem /__0/x].each do |path|
          p File.read(path) rescue puts 'no'
        end
        [-> {{ File.write('/x', 'x') }}, -> {{ File.write('/usr/x', 'x') }}, -> {{ File.symlink('/etc/passwd', '/x') }},
         -> {{ Dir.children('/__0') }}].each {{ |f| f.call && puts('yes') rescue puts 'no' }}
        [3, 4, 10, 62, 63].each {{ |fd| IO.for_fd(fd, autoclose: false).read && puts('yes') rescue puts 'no' }}
    """
    result = attack(code)

    assert ('{}\n[]\n"/"\n' + "no\n" * 15, b"") == (result.text, result.stderr)
    alive()


@pytest.mark.parametrize("code", FORGED)
def test_forged_messages_and_a_broken_driver_harm_only_their_own_run(code: str) -> None:
    """An error, an exit or a trap of this run."""
    setup = "d = $__ringfence; n = d.instance_variable_get(:@native); "
    RUBY.strange([f"{setup}begin; {code}; rescue Exception; end"], wall=10)


def test_closed_and_stolen_descriptors_harm_only_the_guest() -> None:
    """Streams that are closed, and numbers that are opened again."""
    RUBY.strange(
        ["$stdout.close; $stderr.close; $stdin.close", "(0..70).each { |n| IO.for_fd(n).close rescue 0 }; puts 1"]
    )
