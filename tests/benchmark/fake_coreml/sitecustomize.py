"""What does a process need to take this system for macOS, as far as rapidnet asks?"""

import platform
import sys

real = platform.system


def system() -> str:
    return "Darwin" if sys._getframe(1).f_globals.get("__name__", "").startswith("rapidnet.") else real()


platform.system = system
