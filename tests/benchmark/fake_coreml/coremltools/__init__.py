"""What would coremltools on a Mac be? Its own messages, with answers from rapidnet's interpreter for Core ML's."""

import sys
from enum import Enum
from pathlib import Path

__path__.append(str(next(Path(p) / "coremltools" for p in sys.path if (Path(p) / "coremltools" / "proto").is_dir())))


class ComputeUnit(Enum):
    ALL, CPU_AND_GPU, CPU_ONLY, CPU_AND_NE = range(4)


from coremltools import models  # noqa: E402, F401
from coremltools.proto import Model_pb2  # noqa: E402, F401
