module Ringfence
  class Refused < StandardError; end

  # What the driver in C does for us: messages to the host, and a few of its own that begin with a zero byte.
  class Native
    ABSENT = 2

    def initialize(door)
      @door = door
    end

    # Gives the host's answer; nil where there is none of what was asked for.
    def ask(message)
      given = @door.eval(message).to_s.b
      return given.byteslice(1..) if given.getbyte(0).zero?
      return nil if given.getbyte(0) == ABSENT

      raise Refused, given.getbyte(0) == 3 ? 'it is longer than the host may hold' : 'the host refused it'
    end

    def arguments
      ask("\0a").force_encoding(Encoding::UTF_8).split("\0", -1)[0...-1] || []
    end

    def turn = ask("\0t")
    def flags = ask("\0f").unpack1('L<')
    def interrupt = ask("\0i").unpack1('L<')
    def opened? = ask("\0o").getbyte(0) == 1
    def code(number) = ask("\0c".b + [number].pack('l<'))

    def result(status, code, value = '', error = '')
      ask("\0r".b + [status, code, value.bytesize, error.bytesize].pack('L<4') + value.b + error.b)
    end
  end
end
