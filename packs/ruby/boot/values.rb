module Ringfence
  class NotPlain < StandardError; end

  # Values on their way to the host and back, in the CBOR of docs/reference/guest-abi.md.
  module Values
    MAX_DEPTH = 100
    MAX_BIG_BYTES = 4096
    SMALL = -(1 << 63)...(1 << 64)

    module_function

    def write(value)
      put(''.b, value, 0)
    end

    def read(bytes)
      value, rest = take(bytes, 0, 0)
      raise Refused, 'the answer is malformed' unless rest == bytes.bytesize

      value
    end

    def head(out, major, number)
      if number < 24 then out << (major | number)
      elsif number < 1 << 8 then out << [major | 24, number].pack('CC')
      elsif number < 1 << 16 then out << [major | 25, number].pack('CS>')
      elsif number < 1 << 32 then out << [major | 26, number].pack('CL>')
      else out << [major | 27, number].pack('CQ>')
      end
    end

    def put(out, value, depth)
      raise NotPlain if depth > MAX_DEPTH

      # By `instance_of?`: what a subclass adds does not cross.
      if value.nil? then out << 0xf6
      elsif value == true || value == false then out << (value ? 0xf5 : 0xf4)
      elsif Integer === value then integer(out, value)
      elsif Float === value then out << [0xfb, value].pack('CG')
      elsif value.instance_of?(String) then text(out, value)
      elsif value.instance_of?(Array)
        head(out, 0x80, value.size)
        value.each { |each| put(out, each, depth + 1) }
      elsif value.instance_of?(Hash)
        head(out, 0xa0, value.size)
        value.each { |key, held| key(out, key); put(out, held, depth + 1) }
      else raise NotPlain
      end
      out
    end

    def key(out, key)
      return text(out, key) if key.instance_of?(String) && key.encoding != Encoding::BINARY
      raise NotPlain unless Integer === key && (-(1 << 63)...(1 << 63)).cover?(key)

      integer(out, key)
    end

    def integer(out, value)
      major, number = value.negative? ? [0x20, ~value] : [0, value]
      return head(out, major, number) if number < 1 << 64

      bytes = [number.to_s(16).then { |hex| hex.size.odd? ? "0#{hex}" : hex }].pack('H*')
      raise NotPlain if bytes.bytesize > MAX_BIG_BYTES

      out << (major.zero? ? 0xc2 : 0xc3)
      head(out, 0x40, bytes.bytesize) << bytes
    end

    def text(out, value)
      if value.encoding == Encoding::BINARY
        head(out, 0x40, value.bytesize) << value
      else
        held = value.encoding == Encoding::UTF_8 ? value : value.encode(Encoding::UTF_8)
        raise NotPlain unless held.valid_encoding?

        head(out, 0x60, held.bytesize) << held.b
      end
    rescue EncodingError
      raise NotPlain
    end

    def take(bytes, at, depth)
      raise Refused, 'the answer is malformed' if at >= bytes.bytesize || depth > MAX_DEPTH + 1

      first = bytes.getbyte(at)
      major, low = first & 0xe0, first & 31
      at += 1
      if major == 0xe0
        return [bytes.byteslice(at, 8).unpack1('G'), at + 8] if low == 27

        return [{ 20 => false, 21 => true }[low], at]
      end
      number = low
      if low >= 24
        width = 1 << (low - 24)
        number = bytes.byteslice(at, width).unpack1({ 1 => 'C', 2 => 'S>', 4 => 'L>', 8 => 'Q>' }.fetch(width))
        at += width
      end
      case major
      when 0 then [number, at]
      when 0x20 then [~number, at]
      when 0xc0
        big, at = take(bytes, at, depth)
        value = big.unpack1('H*').to_i(16)
        [number == 3 ? ~value : value, at]
      when 0x40 then [bytes.byteslice(at, number).b, at + number]
      when 0x60 then [bytes.byteslice(at, number).force_encoding(Encoding::UTF_8), at + number]
      when 0x80 then list(bytes, at, number, depth)
      else map(bytes, at, number, depth)
      end
    end

    def list(bytes, at, number, depth)
      held = []
      number.times do
        each, at = take(bytes, at, depth + 1)
        held << each
      end
      [held, at]
    end

    def map(bytes, at, number, depth)
      held = {}
      number.times do
        key, at = take(bytes, at, depth + 1)
        held[key], at = take(bytes, at, depth + 1)
      end
      [held, at]
    end
  end
end
