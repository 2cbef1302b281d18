"""The engines that compute the integer program, one module each; none imports another.

Every engine takes the graph's inputs, name -> int8 (N, ...) with the IR's layout (NHWC behind the batch N), and
gives the output of every node, tensor name -> int8 (N, ...) in the same layout.
"""
