"""A small builder of ONNX graphs, so that a specification reads like the model it describes."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 23
IR_VERSION = 11
CONTRIB = "com.microsoft"
CONTRIB_OPS = {
    "Gelu",
    "GatherBlockQuantized",
    "GroupQueryAttention",
    "MatMulIntegerToFloat",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuickGelu",
    "SkipSimplifiedLayerNormalization",
}


class Graph:
    """Collects nodes, constants, inputs and outputs, and makes a ModelProto of them."""

    def __init__(self, name):
        self.name = name
        self.nodes, self.inputs, self.outputs = [], [], []
        self.constants = {}

    def input(self, name, dtype, shape):
        """Declare an input of TensorProto type ``dtype``; a str in ``shape`` is a free dimension. Returns its name."""
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name, dtype, shape):
        """Declare an output that some node writes under ``name``."""
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def constant(self, name, array):
        """Store an array once under ``name``. Returns the name."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def external(self, name, dtype, shape, location, offset, length):
        """Refer to raw bytes of another file, which lies beside the graph's own. Returns the name.

        Args:
            name: the constant's name.
            dtype: TensorProto type of the stored bytes.
            shape: of the tensor, row-major.
            location: file name, no folder: ONNX Runtime refuses any path that leaves the graph's folder.
            offset, length: in bytes.
        """
        tensor = TensorProto(name=name, data_type=dtype, dims=shape, data_location=TensorProto.EXTERNAL)
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        self.constants[name] = tensor
        return name

    def op(self, kind, *inputs, outputs=1, **attributes):
        """Add a node.

        Args:
            kind: operator; those of ONNX Runtime's own are found in its domain.
            inputs: names; "" leaves an optional one out.
            outputs: how many, or their names ("" for one that nobody reads).
            attributes: of the node.

        Returns:
            The output's name, or the list of them where there are several.
        """
        label = f"{kind}_{len(self.nodes)}"
        names = [f"{label}.{i}" for i in range(outputs)] if isinstance(outputs, int) else outputs
        domain = CONTRIB if kind in CONTRIB_OPS else ""
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=label, domain=domain, **attributes))
        return names[0] if len(names) == 1 else names

    def model(self):
        """Return the onnx.ModelProto."""
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, list(self.constants.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="bigmodel")


def save(model, path):
    """Write a ModelProto, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, path)
