module Ringfence
  # The command line of Ruby: options, then a program from `-e`, a file, or standard input.
  class Driver
    HELP = <<~TEXT
      Usage: ruby [options] [-e code | file | -] [arguments]
        -a -F[pattern]    split each line into $F (with -n or -p)
        -c                check the syntax only
        -e code           a line of program; may be given several times
        -i[extension]     edit files in place
        -I directory      add to the load path
        -l                chomp lines, and print with line ends
        -n, -p            a loop over lines around the program; -p prints each
        -r library        require it first
        -s                switches for the script as global variables
        -v, --version     print the version
        -w, -W[level]     warnings
        -C directory      change to it first
    TEXT
    IGNORED = /\A--?(?:disable|enable|yjit|no-yjit|jit|encoding|external-encoding|internal-encoding|parser|debug|verbose)/

    def run
      @code = 0
      program = command(@native.arguments.drop(1))
      program&.call
    rescue Exception => error
      @code = report(error)
    ensure
      @native.code(@code)
    end

    # After what was given to `at_exit`, which may have ended with another code.
    def ended
      error = $!
      @code = error.status & 0xff if SystemExit === error
      @code = 1 if error && !(SystemExit === error) && @code.zero?
      # To look at every object takes a millisecond.
      ObjectSpace.each_object(File) { |file| file.flush unless file.closed? rescue next } if @native.opened?
      flush
      @native.code(@code)
    end

    private

    def report(error)
      return error.status & 0xff if SystemExit === error

      flush
      $stderr.write(told(error))
      SignalException === error ? 128 + error.signo : 1
    end

    def command(words)
      @codes, @required, @flags, @warn = [], [], {}, nil
      ENV.fetch('RUBYLIB', '').split(':').reverse_each { |folder| $:.unshift(folder) unless folder.empty? }
      options((ENV['RUBYOPT'] || '').split.map { |word| word.start_with?('-') ? word : "-#{word}" })
      words = options(words)
      return words if words.nil?

      settle
      return program(@codes.join("\n"), '-e', nil, words) unless @codes.empty?

      name = words.shift
      return program($stdin.read, '-', nil, words) if name.nil? || name == '-'

      script(name, words)
    end

    def options(words)
      while (word = words.first) && word.start_with?('-') && word != '-'
        words.shift
        break if word == '--'
        if word.start_with?('--')
          return tell(word) if %w[--version --help --copyright].include?(word)
          next if word.match?(IGNORED)

          refuse("invalid option #{word}  (-h will show valid options)")
        end
        return nil if letters(word, words) == :done
      end
      words
    end

    def letters(word, words)
      rest = word[1..]
      until rest.empty?
        letter, rest = rest[0], rest[1..]
        case letter
        when 'e', 'r', 'I', 'C', 'X', 'E'
          value = rest.empty? ? words.shift : rest
          refuse("no code specified for -#{letter}") if value.nil?
          take(letter, value)
          break
        when 'F', 'i', 'x', 'K', 'T', 'W', '0'
          take(letter, rest)
          break
        when 'n', 'p', 'a', 'l', 'c', 's', 'w', 'd', 'U', 'S', 'v'
          @flags[letter] = true
        when 'h' then tell('--help') or return :done
        else refuse("invalid option -#{letter}  (-h will show valid options)")
        end
      end
    end

    def take(letter, value)
      case letter
      when 'e' then @codes << value
      when 'r' then @required << value
      when 'I' then $:.unshift(*value.split(':').map { |folder| File.expand_path(folder) })
      when 'C', 'X' then Dir.chdir(value)
      when 'W' then @warn = value
      else @flags[letter] = value
      end
    end

    def tell(word)
      puts(word == '--help' ? HELP : RUBY_DESCRIPTION)
      nil
    end

    def refuse(text)
      $stderr.write("ruby: #{text} (RuntimeError)\n")
      exit(1)
    end

    def settle
      $VERBOSE = true if @flags['w'] || @flags['v'] || @warn == '2' || @warn == ''
      $VERBOSE = nil if @warn == '0'
      $DEBUG = true if @flags['d']
      puts RUBY_DESCRIPTION if @flags['v']
      $/ = separator(@flags['0']) if @flags['0']
      $\ = $/ if @flags['l']
      $; = Regexp.new(@flags['F']) if @flags['F']
      ARGF.inplace_mode = @flags['i'] if @flags['i']
      @required.each { |name| require name }
      exit(0) if @flags['v'] && @codes.empty? && @native.arguments.size == 2
    end

    def separator(digits)
      return "\0" if digits.empty?

      { '777' => nil, '0' => '' }.fetch(digits) { digits.oct.chr }
    end

    # A file, or the text that the host handed in for it.
    def script(name, words)
      source = @native.ask('S')
      source ||= begin
        File.binread(name)
      rescue SystemCallError => error
        $stderr.write("ruby: #{error.message.sub(/ @ rb_sysopen - .*/, '')} -- #{name} (LoadError)\n")
        exit(1)
      end
      source.force_encoding(Encoding::UTF_8)
      source = source.sub(/\A(?!#!.*ruby).*?^(?=#!.*ruby)/m, '') if @flags['x']
      switches(words) if @flags['s']
      program(source, name, File.expand_path(name), words)
    end

    def switches(words)
      while words.first&.start_with?('-') && words.first != '-'
        word = words.shift
        break if word == '--'

        name, equals, value = word.delete_prefix('-').partition('=')
        eval("proc { |value| $#{name.tr('-', '_')} = value }", TOPLEVEL_BINDING).call(equals.empty? ? true : value)
      end
    end

    def program(source, name, path, words)
      ARGV.replace(words)
      $0 = name
      source = looped(source) if @flags['n'] || @flags['p']
      Sources::HANDED_IN[path] = Sources::HANDED_IN[name] = source if path
      code = RubyVM::InstructionSequence.compile(source, name, path, 1)
      if @flags['c']
        puts 'Syntax OK'
        return nil
      end
      data(source) if source.include?('__END__')
      proc { code.eval }
    end

    # What stands behind `__END__`.
    def data(source)
      at = source.match(/^__END__\r?\n/)
      Object.const_set(:DATA, StringIO.new(source.byteslice(at.byteoffset(0)[1]..))) if at
    end

    # The loop of `-n` and `-p`; what stands in BEGIN comes before it.
    def looped(source)
      first = +''
      if source.include?('BEGIN')
        require 'prism'
        found = Prism.parse(source).value.statements.body.grep(Prism::PreExecutionNode)
        found.reverse_each do |node|
          place = node.location
          first.prepend("#{source.byteslice(place.start_offset, place.length)};")
          source = source.byteslice(0, place.start_offset) + source.byteslice((place.start_offset + place.length)..)
        end
      end
      each = @flags['l'] ? 'gets(chomp: true)' : 'gets'
      split = @flags['a'] ? '$F = $_.split;' : ''
      "#{first}while #{each};#{split}#{source}\n#{@flags['p'] ? 'print $_' : ''}\nend"
    end
  end
end
