"""Where does a network's time go, operator by operator, as its runtime's own counters tell?"""

import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rapidnet.errors import UserError
from rapidnet.runtimes.aot_inductor_profile import profile_torch
from rapidnet.runtimes.coreml_plan import estimate_coreml
from rapidnet.runtimes.litert_profile import profile_litert
from rapidnet.runtimes.ncnn_profile import profile_ncnn
from rapidnet.runtimes.network import Array
from rapidnet.runtimes.operator_time import OUTSIDE, WARM_RUNS, Operators, OperatorTime, take_medians


def profile_artifact(
    format_name: str, path: str | Path, images: Array, threads: int, runs: int, arithmetic: str = ""
) -> Operators:
    """Every operator that ran, in order; the counting itself slows the network a little.

    Of Core ML, which times nothing, every operation with its share of the expected cost.

    Args:
        images: what the artifact takes; threads: of the runtime, 0 leaves it to it; runs: how many to measure.
    Raises:
        UserError: a runtime that tells nothing of its operators, or is not installed.
    """
    if format_name not in PROFILERS:
        known = ", ".join(PROFILERS)
        raise UserError(f"{format_name}'s runtime tells nothing of its operators here; {known} do")
    operators = PROFILERS[format_name](Path(path), images, threads, runs, arithmetic)
    if not operators:
        raise UserError(f"{format_name}'s runtime told of no operator of {path}; open it with rapidnet verify")
    return operators


def profile_onnx(path: Path, images: Array, threads: int, runs: int, arithmetic: str) -> list[OperatorTime]:
    """ONNX Runtime's profile: a JSON file of events, kernels among them."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for _ in range(WARM_RUNS + runs):
            session.run(None, {session.get_inputs()[0].name: images})
        events = json.loads(Path(session.end_profiling()).read_text())
    found: dict[tuple[str, str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            about = event["args"]
            key = event["name"].removesuffix("_kernel_time"), about["op_name"], about["provider"]
            found.setdefault(key, []).append(event["dur"] / 1e3)
    return take_medians({key: times[WARM_RUNS:] for key, times in found.items()})


def profile_openvino(path: Path, images: Array, threads: int, runs: int, arithmetic: str) -> list[OperatorTime]:
    """OpenVINO's performance counters; what was fused into another operator does not appear."""
    from rapidnet.runtimes.openvino import compile_model

    request = compile_model(path, threads, arithmetic or "f32", count=True)[1].create_infer_request()
    found: dict[tuple[str, str, str], list[float]] = {}
    for _ in range(WARM_RUNS + runs):
        request.infer({0: images}, share_inputs=True)
        for item in request.get_profiling_info():
            key = item.node_name, item.node_type, f"CPU, {item.exec_type}"
            found.setdefault(key, []).append(item.real_time.total_seconds() * 1e3)
    # In whole microseconds: what ran may show none in a warm run, what was fused shows none in any.
    return take_medians({key: times[WARM_RUNS:] for key, times in found.items() if any(times)})


def profile_executorch(path: Path, images: Array, threads: int, runs: int, arithmetic: str) -> list[OperatorTime]:
    """ExecuTorch's event trace (ETDump), the operators within the XNNPACK delegate among them."""
    import torch

    from rapidnet.runtimes.executorch import import_quietly

    with import_quietly(path):
        from executorch.devtools import Inspector
        from executorch.extension.pybindings import portable_lib
    if threads:
        portable_lib._unsafe_reset_threadpool(threads)
    module = portable_lib._load_for_executorch(str(path), enable_etdump=True)
    for _ in range(WARM_RUNS + runs):
        module.forward([torch.from_numpy(images)])
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # That no values of tensors were noted.
        warnings.simplefilter("ignore")
        trace = Path(folder) / "events.etdp"
        module.write_etdump_result_to_file(str(trace), str(Path(folder) / "unused.bin"))
        blocks = Inspector(etdump_path=str(trace)).event_blocks
    events = [event for block in blocks for event in block.events if event.perf_data is not None]
    found: dict[tuple[str, str, str], list[float]] = {}
    for place, event in enumerate(events):
        if unit := describe_unit(event):
            kind = event.name.rsplit(" #", 1)[0]
            found[f"{kind} #{place}", kind, unit] = event.perf_data.raw[WARM_RUNS:]
    return take_medians(found)


def describe_unit(event: Any) -> str:
    """What ran an operator; '' for events that hold others."""
    if event.is_delegated_op:
        return f"CPU, {event.delegate_backend_name or 'XNNPACK'}"
    return OUTSIDE if event.name.startswith("native_call") else ""


PROFILERS: dict[str, Callable[[Path, Array, int, int, str], Operators]] = {
    "onnx": profile_onnx,
    "openvino": profile_openvino,
    "executorch": profile_executorch,
    "litert": profile_litert,
    "ncnn": profile_ncnn,
    "torch": profile_torch,
    "coreml": estimate_coreml,
}
