"""A model's graphs in each precision: float32 to be compared alone, 16 bits for CUDA, and what the CPU serves."""

from export.graph import save
from export.quantize import RowQuantizedWeights
from export.weights import DenseWeights, ExternalWeights


def write_graphs(folder, tensors, recipe, builds, measure, model, tolerances, reaches=None):
    """Write the graphs of a model, and compare them and float32 ones with torch.

    Args:
        folder: Path; holds model.safetensors.
        tensors: dict of float32 arrays under the model's names.
        recipe: "fp32" keeps float weights; any other quantises rows, see RowQuantizedWeights.
        builds: dict of a graph's name -> function of a store of weights that returns the onnx.ModelProto.
        measure: function of the graphs' paths and the model that returns way -> parity.Difference.
        model: in torch.
        tolerances: dict of "fp32", "fp16", "quantized" -> Difference.
        reaches: see RowQuantizedWeights.

    Returns:
        dict of the last graph's file -> way -> Difference.

    Raises:
        ExportError: a difference is above its tolerance.
    """
    precisions = {
        "fp32": ("{}_float32.onnx", lambda: DenseWeights(tensors)),
        "fp16": ("{}_fp16.onnx", lambda: ExternalWeights(folder / "model.safetensors")),
        "quantized": (
            "onnx/{}_quantized.onnx",
            lambda: DenseWeights(tensors) if recipe == "fp32" else RowQuantizedWeights(tensors, reaches),
        ),
    }
    report = {}
    for precision, (pattern, store) in precisions.items():
        files = [pattern.format(name) for name in builds]
        for file, build in zip(files, builds.values(), strict=True):
            save(build(store()), folder / file)
        report[files[-1]] = measure(*(folder / file for file in files), model)
        for way, difference in report[files[-1]].items():
            difference.check(f"{files[-1]} ({way})", tolerances[precision])
        if precision == "fp32":
            for file in files:
                (folder / file).unlink()
    return report
