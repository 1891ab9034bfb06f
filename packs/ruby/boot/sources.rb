module Ringfence
  # What was handed in as a script is in no file, but errors look for their source there. What is no path is nowhere.
  module Sources
    NOWHERE = /\A(?:-e?\z|[<(])/
    HANDED_IN = {}

    module Spots
      private

      def prism_find(location)
        path = location.absolute_path
        return nil if path.nil? || path.match?(NOWHERE)
        return super unless (source = HANDED_IN[path])

        number = RubyVM::AbstractSyntaxTree.node_id_for_backtrace_location(location)
        Prism.parse(source).value.breadth_first_search { |node| node.node_id == number }
      end
    end

    module Suggestions
      def detailed_message(highlight: true, syntax_suggest: true, **options)
        source = HANDED_IN[path]
        return super(highlight:, syntax_suggest: false, **options) if !syntax_suggest || path&.match?(NOWHERE)
        return super unless source

        require 'syntax_suggest/api' unless defined?(SyntaxSuggest::DEFAULT_VALUE)
        told = SyntaxSuggest::MiniStringIO.new
        SyntaxSuggest.call(io: told, source:, filename: Pathname.new(path), terminal: highlight, timeout: 0) # one takes a thread
        text = told.string
        text += "\n" unless text.end_with?("\n")
        text + super(highlight:, syntax_suggest: false, **options)
      end
    end

    ErrorHighlight.singleton_class.prepend(Spots)
    SyntaxError.prepend(Suggestions)
  end
end

class File
  # There are no locks, and nobody else to hold one.
  def flock(operation)
    raise TypeError, 'no implicit conversion into Integer' unless Integer === operation

    fileno # or it is closed
    0
  end
end
