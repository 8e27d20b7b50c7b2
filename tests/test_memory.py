"""Does a process keep the memory it freed, so that taking it again costs no page faults?"""

import resource
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from rapidnet.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for turn in range(8):
    # By then the allocator has its blocks.
    if turn == 4:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(20_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_faults(mode: str) -> int:
    run = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the GNU C library's allocator")
def test_large_tensors_reuse_their_memory() -> None:
    pages = 80_000_000 // resource.getpagesize()
    assert count_faults("keep") < pages / 10
    assert count_faults("as it is") > pages
