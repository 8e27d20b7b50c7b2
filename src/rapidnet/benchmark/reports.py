"""What do reports of other tools hold: Xcode's of Core ML networks, Qualcomm AI Hub's of jobs and of its own networks?

Layouts: Xcode writes NAME.mlperf, a folder with report.json, which Apple documents nowhere; read here is what public
programs that read such reports agree on. Qualcomm AI Hub's profile is what qai_hub's download_profile writes
(microseconds, bytes); perf.yaml is what each network of qai_hub_models carries (release 0.40 or so and later).
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from rapidnet.benchmark.page_report import read_page
from rapidnet.benchmark.runner_logs import Reading, summarise

# Core ML's MLComputeUnits.
UNITS = {0: "cpu", 1: "cpu_gpu", 2: "all", 3: "cpu_ne"}
PROCESSORS = {"neuralengine": "Neural Engine", "gpu": "GPU", "cpu": "CPU"}
# Runtimes of qai_hub_models that we know by a name of our own.
RUNTIMES = {"tflite": "litert"}


def read_xcode(report: Mapping[str, Any]) -> list[Reading]:
    """A Core ML performance report: seconds of every prediction. Name and serial number of the device are left out."""
    results = report.get("deviceResults")
    if not isinstance(results, Mapping) or "predict" not in results:
        return []
    times = tuple(1e3 * float(seconds) for seconds in results["predict"].get("samples") or [])
    if not times:
        return []
    figures = summarise(times)
    for name, ours in (("load", "load_ms"), ("compile", "compile_ms")):
        samples = (results.get(name) or {}).get("samples") or []
        if samples:
            figures[ours] = summarise([1e3 * float(seconds) for seconds in samples])["latency_ms_p50"]
    device, model = report.get("deviceInfo") or {}, report.get("modelMetadata") or {}
    return [
        Reading(
            "coreml", str(model.get("fileName") or ""), device=str(device.get("modelName") or ""),
            system=str(device.get("osNameAndVersionWithoutBuildNumber") or ""),
            unit_asked=UNITS.get(report.get("computeUnit", -1), ""), unit_used=count_processors(results),
            runs=len(times), times=times, figures=figures,
        )
    ]  # fmt: skip


def count_processors(results: Mapping[str, Any]) -> str:
    """ "Neural Engine 70, CPU 3, as planned", of the operations' preferred devices; "" where they are not told."""
    program = ((results.get("modelStructure") or {}).get("program") or {}).get("_0") or {}
    counts: Counter[str] = Counter()
    for function in (program.get("functions") or {}).values():
        for operation in (function.get("block") or {}).get("operations") or []:
            preferred = ((operation.get("deviceUsage") or {}).get("preferred") or {}).get("deviceType")
            # A name, or an object with the name as its only key.
            text = json.dumps(preferred).lower() if preferred else ""
            name = next((ours for word, ours in PROCESSORS.items() if word in text), "")
            counts.update([name] if name else [])
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) + ", as planned" if counts else ""


def read_hub_profile(profile: Mapping[str, Any]) -> list[Reading]:
    """A profile job's result. Its one latency is an estimate by AI Hub, of which runs is not said."""
    summary = profile.get("execution_summary")
    if not isinstance(summary, Mapping) or "estimated_inference_time" not in summary:
        return []
    times = tuple(float(value) / 1e3 for value in summary.get("all_inference_times") or [])
    figures = summarise(times) if times else {}
    named = {"latency_ms_stated": "estimated_inference_time", "load_ms": "first_load_time"}
    figures |= {ours: float(summary[name]) / 1e3 for ours, name in named.items() if summary.get(name)}
    facts: dict[str, object] = {}
    if summary.get("estimated_inference_peak_memory"):
        facts["peak_mb"] = float(summary["estimated_inference_peak_memory"]) / 1e6
    layers = Counter(str(layer.get("compute_unit")) for layer in profile.get("execution_detail") or [])
    used = ", ".join(f"{name} {count} layers" for name, count in layers.most_common())
    return [Reading("", unit_used=used, runs=len(times) or None, times=times, figures=figures, facts=facts)]


def read_hub_models(table: Mapping[str, Any]) -> list[Reading]:
    """Every network, precision, device and runtime of a perf.yaml that was measured."""
    readings = []
    for precision, group in (table.get("precisions") or {}).items():
        for network, component in (group.get("components") or {}).items():
            for device, runtimes in (component.get("performance_metrics") or {}).items():
                for runtime, found in runtimes.items():
                    if not found.get("inference_time_milliseconds"):
                        continue
                    layers = found.get("layer_counts") or {}
                    used = [
                        f"{name.upper()} {layers[name]} layers" for name in ("npu", "gpu", "cpu") if layers.get(name)
                    ]
                    readings.append(
                        Reading(
                            RUNTIMES.get(runtime, runtime), network, str(precision), device,
                            unit_used=", ".join(used) or str(found.get("primary_compute_unit") or ""),
                            figures={"latency_ms_stated": float(found["inference_time_milliseconds"])},
                            facts={key: found[key] for key in ("job_id", "tool_versions") if key in found},
                        )
                    )  # fmt: skip
    return readings


XCODE = "Xcode's Core ML performance report (.mlperf)"
JSON_READERS: dict[str, Callable[[Mapping[str, Any]], list[Reading]]] = {
    XCODE: read_xcode,
    "Qualcomm AI Hub's profile (JSON)": read_hub_profile,
    "rapidnet's page (JSON)": read_page,
}
YAML_READERS: dict[str, Callable[[Mapping[str, Any]], list[Reading]]] = {
    "Qualcomm AI Hub Models' perf.yaml": read_hub_models,
}


def parse_mapping(parse: Callable[[str], Any], text: str) -> Mapping[str, Any] | None:
    """The object a text holds; None if it holds none."""
    try:
        value = parse(text)
    except (ValueError, yaml.YAMLError):
        return None
    return value if isinstance(value, Mapping) else None
