# Starts what a run needs, before the snapshot: the library that most programs use, then our own files.
%w[
  json set time date digest securerandom stringio strscan erb pp tempfile tmpdir fileutils optparse ostruct csv yaml forwardable delegate singleton uri base64 shellwords benchmark timeout monitor English tsort
  pathname logger zlib find observer open3 prism error_highlight/base js
].each { |name| require name }

module Ringfence
  %w[native values functions processes sources session command].each do |name|
    # Frames of files that are called so are in no backtrace.
    text = File.read("/__boot/#{name}.rb", encoding: 'UTF-8')
    RubyVM::InstructionSequence.compile(text, "<internal:ringfence-#{name}>", nil, 1).eval
  end
end

$__ringfence = Ringfence::Driver.new(Ringfence::Native.new(JS))
Ringfence.freeze
[Integer, Float, String, TrueClass, FalseClass, Proc].each do |kind|
  kind.send(:undef_method, :to_js) if kind.method_defined?(:to_js)
end
Object.send(:remove_const, :JS)
$LOADED_FEATURES.reject! { |name| name.include?('/js') && name.include?('js-') || name.end_with?('/js.so', '/js.rb') || name == 'js.so' }
# It looks for every file that was loaded when one is looked for after that: here, and not in a run.
begin
  require 'io/console'
rescue LoadError
  nil
end
$stdin.set_encoding(Encoding::UTF_8)
$__ringfence.warm
GC.start
GC.compact if GC.respond_to?(:compact)
GC.start
$__ringfence.ready
