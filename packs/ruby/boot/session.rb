module Ringfence
  # What the driver calls.
  class Driver
    NOTHING, VALUE, ERROR, EXIT = 0, 1, 2, 3
    WANT_VALUE = 1
    CODES = { Interrupt => 130, Timeout::Error => 124 }.freeze
    READY = 77
    OURS = /\A<internal:ringfence|\Aeval:1:in|\A-e:in 'Kernel.eval'\z/

    def initialize(native)
      @native = native
      @cells = 0
      @binding = TOPLEVEL_BINDING
      trap('SYS') { interrupted }
    end

    def ready = @native.code(READY)

    # A fresh run: what must not be the same in two runs of one snapshot.
    def resume
      srand
      Functions.offer(@native)
    end

    def resume_copy = srand

    def flush
      [$stdout, $stderr, STDOUT, STDERR].each do |stream|
        stream.flush if stream.respond_to?(:flush) && !(stream.respond_to?(:closed?) && stream.closed?)
      rescue SystemCallError, IOError
        next
      end
    end

    # A cell of a session: all of them have the local variables of one binding.
    def turn(given)
      source = given ? @native.turn : @native.ask('S')
      want = @native.flags & WANT_VALUE != 0
      told = evaluated(source.to_s.force_encoding(Encoding::UTF_8), want)
    rescue SystemExit => error
      told = [EXIT, error.status & 0xff]
    rescue Exception => error
      told = [ERROR, code_of(error), '', described(error)]
    ensure
      flush
      hand_over(told)
    end

    # Runs once what every run does, so that it is known where all of it is.
    def warm
      ['1 + 1', 'x = = 1', 'nowhere', '1.nowhere', '[].fetch', 'raise ArgumentError', '1.upto(nil)'].each do |text|
        turn_of(text)
      rescue Exception => error
        described(error)
      end
      Values.write(['a', 1, 2.5, { 'b' => [nil, true] }])
      @cells = 0
    end

    private

    # There may be no room for it.
    def hand_over(told)
      @native.result(*told)
    rescue Exception => error
      told = nil
      @native.result(ERROR, 1, '', described(error))
    end

    def interrupted
      case @native.interrupt
      when 1 then raise Interrupt, ''
      when 2 then raise NoMemoryError, 'the limit on memory is near'
      else raise Timeout::Error, 'the time of this turn is up'
      end
    end

    def turn_of(text) = evaluated(text, true)

    def evaluated(text, want)
      @cells += 1
      value = @binding.eval(text, "<cell #{@cells}>", 1)
      @binding.local_variable_set(:_, value)
      return [NOTHING, 0] if value.nil? || !want

      begin
        [VALUE, 0, Values.write(value)]
      rescue NotPlain
        [VALUE, 1, value.inspect.to_s.encode(Encoding::UTF_8, invalid: :replace, undef: :replace)]
      end
    end

    def code_of(error)
      CODES.each { |kind, code| return code if kind === error }
      1
    end

    def described(error)
      Values.write({
        'type' => HostError === error ? error.type : error.class.to_s, 'message' => clean(error.message.to_s), 'traceback' => clean(told(error)),
      })
    rescue Exception
      Values.write({ 'type' => 'Exception', 'message' => '', 'traceback' => "the error cannot be told\n" })
    end

    def clean(text)
      text.dup.force_encoding(Encoding::UTF_8).scrub
    end

    # An error as Ruby prints it, without the frames that are ours.
    def told(error)
      own = error
      8.times do
        break unless own
        if own.backtrace
          ours = "#{$0}:in 'Kernel.eval'"
          frames = own.backtrace.reject { |frame| frame == ours || frame.match?(OURS) }
          # Else it would name our own place; of a wrong program natively the file is named.
          frames = [$0] if frames.empty?
          own.set_backtrace(frames.map { |frame| frame.sub("'<compiled>'", "'<main>'") })
        end
        own = own.cause
      end
      text = error.full_message(highlight: false, order: :top)
      text.end_with?("\n") ? text : "#{text}\n"
    end
  end
end
