"""Lower a QDQ ONNX model to the integer graph and emit the integer ONNX program from it."""

import msgspec
import onnx

from nnrules.catalog.names import NOTE
from nnrules.catalog.stages import LowerOptions
from nnrules.error import UserError
from nnrules.graph.emit import integer_model
from nnrules.graph.format_tables import selector_of, untabled
from nnrules.graph.formats import joined
from nnrules.graph.ir import dump
from nnrules.graph.lowering import lower
from nnrules.stages.runner import Request, main


def run(request: Request[LowerOptions]) -> None:
    """Input ``model`` (QDQ ONNX); outputs ``graph`` (JSON) and ``integer`` (ONNX of standard operators)."""
    path = request.input("model")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # onnx raises whatever protobuf does on a damaged file
        raise UserError(str(path), "is not a valid ONNX model", f"onnx says: {str(error).splitlines()[0]}") from None
    note = next((each.value for each in model.metadata_props if each.key == NOTE), "")
    if selector := selector_of(model):
        graph = joined([lower(each, request.model) for each in untabled(model)], selector)
    else:
        graph = lower(model, request.model)
    graph = msgspec.structs.replace(graph, note=note)
    request.output("graph").write_bytes(dump(graph))
    onnx.save(integer_model(graph), request.output("integer"))


if __name__ == "__main__":
    main(run, LowerOptions)
