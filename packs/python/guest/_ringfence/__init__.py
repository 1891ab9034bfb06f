"""What the driver calls: the boot code of the pack, frozen into it."""

from _ringfence import importer  # isort: skip  (nothing else can be imported before it)

importer.install()

from _ringfence.command import command
from _ringfence.ending import end
from _ringfence.errors import describe_error
from _ringfence.functions import finish
from _ringfence.preload import forget, preload
from _ringfence.resume import resume, resume_copy

__all__ = ["command", "describe_error", "end", "finish", "forget", "preload", "resume", "resume_copy"]
