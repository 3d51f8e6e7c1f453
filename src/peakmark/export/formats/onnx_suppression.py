"""How does an ONNX file give detections instead of boxes and scores? By nodes that are put behind the network.

The same rule as `geometry/suppression.py`: per class, greedy, best score first, at most so many of an image. Two more
inputs have defaults, so that programs that know nothing of them needn't give them: `confidence`, and `every_class`
(False: a box counts once, for its best class). Shapes: B images, A anchors, C classes, D detections.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from peakmark.export.format import Suppression

DEFAULT_CONFIDENCE = 0.25
_RAW = "boxes_and_scores"


def with_suppression(model: Any, suppression: Suppression) -> Any:
    """Makes `output0` (B, D, 6): corners in px, score, class; and `count` (B,): the rows that are detections."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    (output,) = graph.output
    classes = output.type.tensor_type.shape.dim[1].dim_value - 4
    for node in graph.node:
        node.output[:] = [_RAW if name == output.name else name for name in node.output]
        node.input[:] = [_RAW if name == output.name else name for name in node.input]
    constants = {
        "confidence": np.array(DEFAULT_CONFIDENCE, np.float32),
        "every_class": np.array(False),
        "s_parts": np.array([4, classes], np.int64),
        "s_two": np.array([2, 2], np.int64),
        "s_half": np.array(0.5, np.float32),
        "s_zero": np.array(0, np.float32),
        "s_classes": np.arange(classes, dtype=np.int64).reshape(1, classes, 1),
        "s_most": np.array([suppression.max_detections], np.int64),
        "s_iou": np.array([suppression.iou], np.float32),
        "s_one": np.array([1], np.int64),
        "s_last": np.array([-1], np.int64),
        "s_flat": np.array([0, -1], np.int64),
        "s_flat_0": np.array([0], np.int64),
        "s_four": np.array([1, 1, 4], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    graph.input.extend(
        [
            helper.make_tensor_value_info("confidence", TensorProto.FLOAT, []),
            helper.make_tensor_value_info("every_class", TensorProto.BOOL, []),
        ]
    )
    graph.node.extend(_nodes(helper, TensorProto))
    del graph.output[:]
    batch = output.type.tensor_type.shape.dim[0]
    images = batch.dim_param or batch.dim_value
    graph.output.extend(
        [
            helper.make_tensor_value_info("output0", TensorProto.FLOAT, [images, "detections", 6]),
            helper.make_tensor_value_info("count", TensorProto.INT64, [images]),
        ]
    )
    return model


def _nodes(helper: Any, kinds: Any) -> list[Any]:
    made: list[Any] = []

    def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> None:
        name = f"suppression/{len(made)}_{kind}"
        made.append(helper.make_node(kind, inputs.split(), outputs.split(), name=name, **attributes))

    node("Split", f"{_RAW} s_parts", "s_cxcywh s_scores", axis=1)
    node("Transpose", "s_cxcywh", "s_rows", perm=[0, 2, 1])
    node("Split", "s_rows s_two", "s_centre s_size", axis=2)
    node("Mul", "s_size s_half", "s_reach")
    node("Sub", "s_centre s_reach", "s_first")
    node("Add", "s_centre s_reach", "s_second")
    node("Concat", "s_first s_second", "s_corners", axis=2)
    node("ArgMax", "s_scores", "s_best", axis=1, keepdims=1)
    node("Equal", "s_classes s_best", "s_is_best")
    node("Or", "s_is_best every_class", "s_counts")
    node("Where", "s_counts s_scores s_zero", "s_counting")
    node("Unsqueeze", "confidence s_flat_0", "s_limit")
    node("NonMaxSuppression", "s_corners s_counting s_most s_iou s_limit", "s_kept")
    # Kept scores in the place where they were, 0 elsewhere: then each image's best are a matter of one sort.
    node("Shape", "s_counting", "s_shape")
    node("ConstantOfShape", "s_shape", "s_nothing")
    node("GatherND", "s_counting s_kept", "s_kept_scores")
    node("ScatterND", "s_nothing s_kept s_kept_scores", "s_dense")
    node("Reshape", "s_dense s_flat", "s_of_image")
    node("Shape", "s_of_image", "s_cells", start=1, end=2)
    node("Min", "s_most s_cells", "s_few")
    node("TopK", "s_of_image s_few", "s_top s_place", axis=1)
    node("Shape", "s_scores", "s_anchors", start=2, end=3)
    node("Div", "s_place s_anchors", "s_class")
    node("Mod", "s_place s_anchors", "s_anchor")
    node("Unsqueeze", "s_anchor s_last", "s_anchor_column")
    node("Tile", "s_anchor_column s_four", "s_anchor_rows")
    node("GatherElements", "s_corners s_anchor_rows", "s_boxes", axis=1)
    node("Cast", "s_class", "s_class_number", to=kinds.FLOAT)
    node("Unsqueeze", "s_top s_last", "s_score_column")
    node("Unsqueeze", "s_class_number s_last", "s_class_column")
    node("Concat", "s_boxes s_score_column s_class_column", "s_table", axis=2)
    node("Greater", "s_top s_zero", "s_is_there")
    node("Unsqueeze", "s_is_there s_last", "s_there_column")
    node("Where", "s_there_column s_table s_zero", "output0")
    node("Cast", "s_is_there", "s_ones", to=kinds.INT64)
    node("ReduceSum", "s_ones s_one", "count", keepdims=0)
    return made
