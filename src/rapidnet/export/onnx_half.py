"""How does a float32 ONNX network come to compute in half precision, from half weights?"""

from typing import Any

WEIGHTED = ("Conv", "Gemm", "MatMul")
# Of these operators only the first input may be half.
FIRST_ONLY = ("Resize", "Reshape", "Slice")


def halve(model: Any) -> None:
    """Turn the network's part of a float32 ModelProto into float16, from its first convolution to its last.

    What lies behind, up to the answers, stays in float32: half has no room for the pixels that boxes are counted in.
    """
    import onnx

    graph, types = model.graph, onnx.TensorProto
    inside = find_inside(list(graph.node))
    made = {name for i, node in enumerate(graph.node) if i in inside for name in node.output}
    taken = {name for i, node in enumerate(graph.node) if i not in inside for name in node.input}
    taken |= {output.name for output in graph.output}
    kinds = {item.name: item.type.tensor_type.elem_type for item in graph.value_info}
    weights = {item.name: item for item in graph.initializer}
    nodes: list[Any] = []
    halves: set[str] = set()

    def cast(name: str, made_of: str, kind: int) -> Any:
        return onnx.helper.make_node("Cast", [made_of], [name], name=f"cast_{name}", to=kind)

    for i, node in enumerate(graph.node):
        if i not in inside:
            nodes.append(node)
            continue
        for place, name in enumerate(node.input):
            weight, kind = weights.get(name), kinds.get(name, types.FLOAT)
            own = weight.data_type if weight is not None else kind
            if not name or own != types.FLOAT or (place and node.op_type in FIRST_ONLY):
                continue
            node.input[place] = f"{name}_half"
            if name in made or name in halves:
                continue
            halves.add(name)
            if weight is None:
                nodes.append(cast(f"{name}_half", name, types.FLOAT16))
            else:
                values = onnx.numpy_helper.to_array(weight).astype("float16")
                graph.initializer.append(onnx.numpy_helper.from_array(values, f"{name}_half"))
        nodes.append(node)
        for place, name in enumerate(node.output):
            if kinds.get(name, types.FLOAT) != types.FLOAT:
                continue
            node.output[place] = f"{name}_half"
            if name in taken:
                nodes.append(cast(name, f"{name}_half", types.FLOAT))
    rebuild(graph, nodes)


def rebuild(graph: Any, nodes: list[Any]) -> None:
    """Give a graph other nodes, and leave out weights that none of them takes."""
    del graph.value_info[:], graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [item for item in graph.initializer if item.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def find_inside(nodes: list[Any]) -> set[int]:
    """Places of the nodes from the first convolution on that lead to a convolution or are one."""
    first = next(i for i, node in enumerate(nodes) if node.op_type in WEIGHTED)
    inside: set[int] = set()
    wanted: set[str] = set()
    for i in range(len(nodes) - 1, first - 1, -1):
        if nodes[i].op_type in WEIGHTED or wanted & set(nodes[i].output):
            inside.add(i)
            wanted |= set(nodes[i].input)
    return inside
