"""What a program in the sandbox can know of its host: the functions of the session, and their errors."""

from _ringfence.functions import HostError

__all__ = ["HostError"]
