"""Layers of Tiny, in a file of their own."""

from torch import nn


def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Convolution and BatchNorm."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))
