"""Where does a LiteRT file's time go, XNNPACK's operators included?

ai-edge-litert has no profiler in Python: neither the interpreter nor the compiled model offers one, and the benchmark
in its tools times whole runs. The library that its compiled model loads, libLiteRt, has one (LiteRT:
litert/c/litert_profiler.h), which is used here through its C interface.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.runtimes.formats import TESTED
from rapidnet.runtimes.network import Array
from rapidnet.runtimes.operator_time import OUTSIDE, WARM_RUNS, OperatorTime, take_medians

PACKAGE = "ai-edge-litert"
HANDLE = POINTER(c_void_p)
DELETER = ctypes.CFUNCTYPE(None, c_void_p)
CPU = 1
WRITE = 1
# What a profiled event can be (tflite/core/api/profiler.h), for those that are one operator each.
UNITS = {1 << 1: OUTSIDE, 1 << 3: "CPU, XNNPACK"}


class TensorType(Structure):
    """LiteRtRankedTensorType: a number format, a layout of seven bits of rank and one that tells of strides."""

    _fields_ = (("element", c_int), ("rank", c_uint32), ("sizes", c_int32 * 8), ("strides", c_uint32 * 8))


class Event(Structure):
    """ProfiledEventData, with three figures of memory before and after it."""

    _fields_ = (
        ("tag", c_char_p), ("kind", c_int), ("start_us", c_uint64), ("elapsed_us", c_uint64), ("memory", c_uint64 * 6),
        ("node", c_uint64), ("graph", c_uint64), ("source", c_int),
    )  # fmt: skip


# What functions take; all of them answer with a status, 0 for success.
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "CreateEnvironment": (c_int, c_void_p, HANDLE),
    "CreateModelFromFile": (c_void_p, c_char_p, HANDLE),
    "CreateOptions": (HANDLE,),
    "SetOptionsHardwareAccelerators": (c_void_p, c_int),
    "CreateOpaqueOptions": (c_char_p, c_void_p, DELETER, HANDLE),
    "AddOpaqueOptions": (c_void_p, c_void_p),
    "CreateCompiledModel": (c_void_p, c_void_p, c_void_p, HANDLE),
    "GetModelSignature": (c_void_p, c_size_t, HANDLE),
    "GetSignatureInputTensorByIndex": (c_void_p, c_size_t, HANDLE),
    "GetSignatureOutputTensorByIndex": (c_void_p, c_size_t, HANDLE),
    "GetRankedTensorType": (c_void_p, POINTER(TensorType)),
    "GetCompiledModelInputBufferRequirements": (c_void_p, c_size_t, c_size_t, HANDLE),
    "GetCompiledModelOutputBufferRequirements": (c_void_p, c_size_t, c_size_t, HANDLE),
    "CreateManagedTensorBufferFromRequirements": (c_void_p, POINTER(TensorType), c_void_p, HANDLE),
    "GetTensorBufferPackedSize": (c_void_p, POINTER(c_size_t)),
    "LockTensorBuffer": (c_void_p, HANDLE, c_int),
    "UnlockTensorBuffer": (c_void_p,),
    "RunCompiledModel": (c_void_p, c_size_t, c_size_t, HANDLE, c_size_t, HANDLE),
    "CompiledModelGetProfiler": (c_void_p, HANDLE),
    "ResetProfiler": (c_void_p,),
    "StartProfiler": (c_void_p,),
    "StopProfiler": (c_void_p,),
    "GetNumProfilerEvents": (c_void_p, POINTER(c_int)),
    "GetProfilerEvents": (c_void_p, c_int, POINTER(Event)),
}
# What has to be destroyed of what is created; models own their profilers, options the options added to them.
DESTROYERS = {
    "CreateEnvironment": "DestroyEnvironment",
    "CreateModelFromFile": "DestroyModel",
    "CreateOptions": "DestroyOptions",
    "CreateCompiledModel": "DestroyCompiledModel",
    "CreateManagedTensorBufferFromRequirements": "DestroyTensorBuffer",
}


class LiteRt:
    """The library's functions by name; what they create is destroyed in reverse order when the block ends.

    kept: what has to live as long.
    """

    def __init__(self, path: Path) -> None:
        try:
            import ai_edge_litert
        except ImportError:
            raise UserError(f"profiling {path} needs LiteRT; install it with pip install 'rapidnet[litert]'") from None
        # A structure that another version fills in another way would be read wrongly, or past its end.
        known, found = (text.split(".")[:2] for text in (TESTED[PACKAGE], version(PACKAGE)))
        if known != found:
            raise UserError(
                f"LiteRT's profile is read through its C interface, known here for {PACKAGE} {'.'.join(known)} and "
                f"not for {version(PACKAGE)}; install {PACKAGE}=={TESTED[PACKAGE]}"
            )
        files = sorted(Path(ai_edge_litert.__file__).parent.glob("libLiteRt.*"))
        if not files:
            raise UserError(f"{PACKAGE} carries no libLiteRt on this system; profile {path} in another runtime")
        self.path = path
        self.kept: list[Any] = []
        self._library = ctypes.CDLL(str(files[0]))
        self._stack = ExitStack()

    def __enter__(self) -> "LiteRt":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def call(self, name: str, *arguments: Any) -> None:
        """Raises UserError for any status but success."""
        function = self._library[f"LiteRt{name}"]
        function.argtypes = FUNCTIONS[name]
        if status := function(*arguments):
            raise UserError(f"LiteRT refuses {name} for {self.path} (status {status}); export it again")

    def make(self, name: str, *arguments: Any) -> c_void_p:
        """What a function whose last argument receives a handle gives."""
        handle = c_void_p()
        self.call(name, *arguments, byref(handle))
        if name in DESTROYERS:
            destroy = self._library[f"LiteRt{DESTROYERS[name]}"]
            destroy.argtypes, destroy.restype = (c_void_p,), None
            self._stack.callback(destroy, handle)
        return handle


def profile_litert(path: Path, images: Array, threads: int, runs: int, arithmetic: str) -> list[OperatorTime]:
    """LiteRT's event profile: its own kernels, and in XNNPACK's place the operators within; whole microseconds."""
    times: dict[tuple[str, str, str], list[float]] = {}
    with LiteRt(path) as library:
        profiler, run = open_counting(library, images, threads)
        for index in range(WARM_RUNS + runs):
            library.call("ResetProfiler", profiler)
            library.call("StartProfiler", profiler)
            run()
            library.call("StopProfiler", profiler)
            events = [event for event in read_events(library, profiler) if event.kind in UNITS]
            for place, event in enumerate(events if index >= WARM_RUNS else []):
                kind = event.tag.decode()
                times.setdefault((f"{kind} #{place}", kind, UNITS[event.kind]), []).append(event.elapsed_us / 1e3)
    return take_medians(times)


def open_counting(library: LiteRt, images: Array, threads: int) -> tuple[c_void_p, Callable[[], None]]:
    """(the profiler, what runs the images once); raises UserError for images of another size."""
    environment = library.make("CreateEnvironment", 0, None)
    model = library.make("CreateModelFromFile", environment, str(library.path).encode())
    options = library.make("CreateOptions")
    library.call("SetOptionsHardwareAccelerators", options, CPU)
    # Settings go by the name of what reads them, as lines of TOML.
    settings = {b"runtime_options_string": b"enable_profiling = true\n"}
    settings |= {b"xnnpack": b"num_threads = %d\n" % threads} if threads else {}
    for name, lines in settings.items():
        text, do_not_free = ctypes.create_string_buffer(lines), DELETER(lambda address: None)
        library.kept += text, do_not_free
        library.call("AddOpaqueOptions", options, library.make("CreateOpaqueOptions", name, text, do_not_free))
    compiled = library.make("CreateCompiledModel", environment, model, options)
    signature = library.make("GetModelSignature", model, 0)
    source, target = (open_buffer(library, environment, compiled, signature, end) for end in ("Input", "Output"))
    fill(library, source, images)
    profiler = library.make("CompiledModelGetProfiler", compiled)
    return profiler, lambda: library.call("RunCompiledModel", compiled, 0, 1, byref(source), 1, byref(target))


def open_buffer(library: LiteRt, environment: c_void_p, compiled: c_void_p, signature: c_void_p, end: str) -> c_void_p:
    """Memory for the first input or output, as the compiled model wants it."""
    tensor = TensorType()
    library.call("GetRankedTensorType", library.make(f"GetSignature{end}TensorByIndex", signature, 0), byref(tensor))
    needs = library.make(f"GetCompiledModel{end}BufferRequirements", compiled, 0, 0)
    return library.make("CreateManagedTensorBufferFromRequirements", environment, byref(tensor), needs)


def fill(library: LiteRt, buffer: c_void_p, values: Array) -> None:
    size = c_size_t()
    library.call("GetTensorBufferPackedSize", buffer, byref(size))
    if size.value != values.nbytes:
        raise UserError(f"LiteRT file {library.path} takes {size.value} bytes, not the {values.nbytes} it was given")
    address, given = c_void_p(), np.ascontiguousarray(values)
    library.call("LockTensorBuffer", buffer, byref(address), WRITE)
    ctypes.memmove(address, given.ctypes.data, given.nbytes)
    library.call("UnlockTensorBuffer", buffer)


def read_events(library: LiteRt, profiler: c_void_p) -> Iterator[Event]:
    count = c_int()
    library.call("GetNumProfilerEvents", profiler, byref(count))
    events = (Event * count.value)()
    library.call("GetProfilerEvents", profiler, count, events)
    yield from events
