"""The integer graph: records, operators, and the two ONNX ends (reading QDQ, writing the integer program)."""
