"""Which part of an ONNX graph is what? Found by the names of its weights, which are ours."""

from __future__ import annotations

import re
from typing import Any

_LAST = re.compile(r"head\.(box|cls)\.\d\.2\.weight")
"""Weights of the last convolution of each branch of the head."""


def without_traces(model: Any) -> Any:
    """Takes out what the exporter notes at each node: lines of its sources, with the paths of this machine."""
    for holder in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del holder.metadata_props[:]
        holder.doc_string = ""
    return model


def last_convolutions(model: Any) -> set[str]:
    """Gives the names of the nodes that give the distributions and logits of each level."""
    return {node.name for node in model.graph.node if any(_LAST.search(name) for name in node.input)}


def decoding_nodes(model: Any) -> set[str]:
    """Gives the names of the nodes behind the network: the grid, the boxes, the scores.

    Raises ValueError where a graph has no head of ours.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    waiting = [node for node in model.graph.node if node.name in last_convolutions(model)]
    if not waiting:
        raise ValueError("no last convolutions of a head are in this graph")
    in_network: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node.name not in in_network:
            in_network.add(node.name)
            waiting += [makers[name] for name in node.input if name in makers]
    return {node.name for node in model.graph.node} - in_network
