"""However deep Ruby goes, it ends in its own error, which is rescued; never in a trap."""

from __future__ import annotations

import pytest

from ringfence import Limits, Policy, Sandbox

pytest.importorskip(
    "ringfence_language_ruby", reason="NOT TESTED: ruby is not installed (`ringfence languages install ruby`: minutes)"
)
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("compiled_ruby")]

POLICY = Policy(limits=Limits(wall="60s", memory="768MiB"))
NEST = "a = []; 100_000.times { a = [a] };"
# What has no end, each by a way of its own through the interpreter.
PROBES = [
    "def f = f()\nf",
    "def f = [1].each { f }\nf",
    "def f = [1].map { f }\nf",
    "def f = [1, 2].inject { f }\nf",
    "def f = { a: 1 }.each { f }\nf",
    "def f = { a: 1 }.map { |k, v| f }\nf",
    "def f = [1, 2].sort_by { f }\nf",
    "def f = [1, 2].sort { f }\nf",
    "def f = [1].each_with_index { f }\nf",
    "def f = [1].lazy.map { f }.to_a\nf",
    "def f = 1.upto(1) { f }\nf",
    "def f = 'a'.gsub(/a/) { f }\nf",
    "def f = [1].each { begin; f; rescue ArgumentError; 1; end }\nf",
    "def f = begin; [1].each { f }; ensure; 1; end\nf",
    "def f = catch(:a) { f }\nf",
    "def f = instance_eval { f }\nf",
    "def f = method(:f).call\nf",
    "def f(*) = [1].each(&method(:f))\nf",
    "def g = yield\ndef f = g { [1].each { f } }\nf",
    "self.class.define_method(:f) { [1].each { f } }\nf",
    'class A; def method_missing(n) = [1].each { send(:"#{n}x") }; end\nA.new.foo',
    "$p = proc { [1].each(&$p) }\n$p.call",
    "$h = Hash.new { |h, k| h[k + 1] }\n$h[0]",
    "eval('def f = eval(\"f\")')\nf",
    "class A; include Comparable; def <=>(o) = (self < o ? 0 : 1); end\nA.new < A.new",
    "class A; def ==(o) = [self] == [o]; end\nA.new == A.new",
    "class A; def hash = [A.new].hash; end\nA.new.hash",
    "class A; def inspect = [A.new].inspect; end\nA.new.inspect",
    "class A; def coerce(o) = 1 + A.new; end\n1 + A.new",
    "class A; def to_str = 'a' + A.new; end\nA.new.to_str",
    "class A; def to_s = format('%s', A.new); end\nA.new.to_s",
    "class A; def initialize = A.new; end\nA.new",
    'class A; def self.const_missing(n) = const_get("#{n}A"); end\nA::Q',
    "class A; def respond_to_missing?(*) = A.new.respond_to?(:q); end\nA.new.respond_to?(:p)",
    "class A; def marshal_dump = Marshal.dump(A.new); end\nMarshal.dump(A.new)",
    "class A; def to_json(*a) = [A.new].to_json(*a); end\nJSON.generate(A.new, max_nesting: 0)",
    "class E < StandardError; def message = E.new.full_message; end\nE.new.message",
    f"{NEST} Marshal.dump(a)",
    f"{NEST} a.inspect",
    f"{NEST} a.hash",
    f"{NEST} a.to_s",
    f"{NEST} a.join",
    f"{NEST} a == [a]",
    f"{NEST} JSON.generate(a, max_nesting: 0)",
    "JSON.parse('[' * 100_000, max_nesting: 0)",
    r"""Marshal.load("\x04\x08".b + "[\x06".b * 100_000 + "0")""",
]


@pytest.mark.parametrize("code", PROBES)
def test_what_calls_itself_without_an_end_is_rubys_own_error(code: str) -> None:
    """It is rescued, and the program goes on."""
    lines = f"begin\n{code}\nrescue SystemStackError => e\nputs e.message\nend\nputs [1].sum {{ _1 + 1 }}"

    result = Sandbox(language="ruby", policy=POLICY).run(["-e", lines])

    assert ("exited", 0, "stack level too deep\n2\n", b"") == (
        result.outcome, result.exit_code, result.text, result.stderr
    )  # fmt: skip
