"""The integer graph: records, operators, passes, and the two ONNX ends (reading QDQ, writing the integer program)."""
