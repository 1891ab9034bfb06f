module Ringfence
  # What a function of the host raised, where Ruby has no error of that name.
  class HostError < StandardError
    attr_reader :type

    def initialize(type, message)
      super(message)
      @type = type
    end
  end

  # The functions of the host that a session has: each is a method that can be called anywhere, as `puts` can.
  module Functions
    ERRORS = {
      'ValueError' => ArgumentError, 'TypeError' => TypeError, 'KeyError' => KeyError, 'IndexError' => IndexError,
      'RuntimeError' => RuntimeError, 'ZeroDivisionError' => ZeroDivisionError, 'TimeoutError' => Timeout::Error,
      'NotImplementedError' => NotImplementedError, 'PermissionError' => Errno::EACCES,
    }.freeze

    module_function

    def offer(native)
      listed = native.ask('L')
      return unless listed

      Values.read(listed).each do |told|
        name = told['name']
        Object.define_method(name) do |*arguments, **keywords|
          Functions.call(native, name, arguments, keywords)
        end
        Object.send(:private, name)
      end
    end

    def call(native, name, arguments, keywords)
      message = [name, arguments, keywords.transform_keys(&:to_s)]
      answer = native.ask("F#{''.b}".b + Values.write(message))
      raise HostError.new('NameError', "there is no function `#{name}` here") unless answer

      failed, *given = Values.read(answer)
      return given[0] if failed.zero?

      type, text = given
      raise HostError.new(type, text) unless ERRORS[type]

      raise ERRORS[type], text
    rescue NotPlain
      raise TypeError, "an argument of #{name} is of a kind that does not cross to the host"
    end
  end
end
