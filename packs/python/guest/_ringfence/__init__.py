"""What the driver calls: the boot code of the pack, frozen into it."""

from _ringfence import importer  # isort: skip  (nothing else can be imported before it)

importer.install()

from _ringfence.command import command
from _ringfence.errors import describe_error
from _ringfence.functions import finish, offer
from _ringfence.preload import forget, preload
from _ringfence.resume import buffer_lines, resume, resume_copy

__all__ = ["buffer_lines", "command", "describe_error", "finish", "forget", "offer", "preload", "resume", "resume_copy"]
