# There are no processes. What was linked would say that a command had run.
module Ringfence
  NO_PROCESSES = lambda do |name|
    proc { |*, **| raise NotImplementedError, "#{name}() function is unimplemented on this machine" }
  end
end

%w[system spawn exec `].each do |name|
  refusal = Ringfence::NO_PROCESSES.call(name)
  Kernel.define_method(name, &refusal)
  Kernel.send(:private, name)
  Kernel.define_singleton_method(name, &refusal)
  Process.define_singleton_method(name, &refusal) if Process.respond_to?(name)
end
IO.define_singleton_method(:popen, &Ringfence::NO_PROCESSES.call('popen'))
