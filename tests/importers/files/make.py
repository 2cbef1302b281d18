"""Makes the model files beside it, each with the tool that it is called after; CI only reads them.

python make.py brevitas     pip install brevitas==0.13.4 onnx onnxscript torch
python make.py nncf         pip install nncf==3.4.0 onnx onnxruntime onnxscript torch
python make.py keras        pip install tensorflow-cpu==2.21.0 tf2onnx==1.17.0
python make.py keras_sizes  pip install tensorflow-cpu==2.21.0
python make.py torchao      pip install torchao==0.18.0 torch
"""

import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
SHAPE = (3, 12, 10)


def noise(count: int, channels_last: bool = False) -> np.ndarray:
    """Inputs within -2..3."""
    x = np.random.default_rng(1).uniform(-2, 3, (count, *SHAPE)).astype(np.float32)
    return x.transpose(0, 2, 3, 1) if channels_last else x


def network() -> Any:
    """A network in torch: strides, a residual, depthwise, pools, a linear layer."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
            self.depthwise = nn.Sequential(
                nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6()
            )
            self.pointwise = nn.Conv2d(8, 8, 1)
            self.pool = nn.MaxPool2d(2)
            self.mean = nn.AdaptiveAvgPool2d(1)
            self.head = nn.Linear(8, 4)

        def forward(self, x: Any) -> Any:
            y = self.stem(x)
            y = torch.relu(self.pointwise(self.depthwise(y)) + y)
            return self.head(torch.flatten(self.mean(self.pool(y)), 1))

    torch.manual_seed(0)
    made = Block()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(-1.5, 1.5)
            module.bias.data.uniform_(-0.5, 0.5)
    made.train()
    for _ in range(20):
        made(torch.from_numpy(noise(32)))
    return made.eval()


def brevitas() -> None:
    """QCDQ: narrow weights as float with Quantize, Clip, Dequantize; BatchNormalization behind quantized weights."""
    import brevitas.nn as qnn
    import torch
    from brevitas.export import export_onnx_qcdq
    from brevitas.quant import Int8ActPerTensorFloat, Int8Bias, Int8WeightPerChannelFloat, Uint8ActPerTensorFloat
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            conv = {"weight_quant": Int8WeightPerChannelFloat, "bias": False}
            self.start = qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, return_quant_tensor=True)
            self.stem = qnn.QuantConv2d(3, 8, 3, 2, 1, **conv)
            self.norm = nn.BatchNorm2d(8)
            self.relu = qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, return_quant_tensor=True)
            self.point = qnn.QuantConv2d(
                8, 8, 1, weight_quant=Int8WeightPerChannelFloat, bias_quant=Int8Bias, bias=True
            )
            self.again = qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, return_quant_tensor=True)
            self.mean = nn.AvgPool2d((6, 5))
            self.after = qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, return_quant_tensor=True)
            self.head = qnn.QuantLinear(8, 4, bias=True, weight_quant=Int8WeightPerChannelFloat)

        def forward(self, x: Any) -> Any:
            y = self.again(self.point(self.relu(self.norm(self.stem(self.start(x))))))
            return self.head(torch.flatten(self.after(self.mean(y)), 1))

    torch.manual_seed(0)
    made = Net()
    made.norm.weight.data.uniform_(-1.5, 1.5)
    for _ in range(30):
        made(torch.from_numpy(noise(32)))
    x = torch.from_numpy(noise(1))
    export_onnx_qcdq(made.eval(), x, str(HERE / "brevitas_qcdq.onnx"), opset_version=13, dynamo=False)


def nncf() -> None:
    """Post-training quantization of an ONNX model: float weights with QuantizeLinear, some tensors left out."""
    import nncf as tool
    import onnx
    import torch

    path = HERE / "nncf.onnx"
    torch.onnx.export(network(), torch.from_numpy(noise(1)), path, opset_version=18, dynamo=False)
    model = onnx.load(path)
    data = tool.Dataset([{model.graph.input[0].name: each[None]} for each in noise(64)])
    onnx.save(tool.quantize(model, data, subset_size=64), path)


def keras() -> None:
    """TFLite from Keras: int8 with int8 edges, and with float edges; tf2onnx of the first and of the float network."""
    import tensorflow as tf
    import tf2onnx

    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    x = source = layers.Input((*SHAPE[1:], SHAPE[0]), batch_size=1)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, 2, padding="same")(x)))
    branch = layers.ReLU(6.0)(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.Add()([layers.Conv2D(8, 1)(branch), x])
    x = layers.MaxPooling2D(2)(x)
    x = layers.Concatenate()([x, layers.AveragePooling2D(3, 1, padding="same")(x)])
    x = layers.ZeroPadding2D(((0, 1), (1, 0)))(x)
    gate = layers.Dense(16, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, layers.Reshape((1, 1, 16))(gate)])
    x = layers.LeakyReLU(0.1)(layers.Conv2D(6, (3, 2))(x))
    x = layers.Softmax()(layers.Dense(5)(layers.Flatten()(x)))
    model = tf.keras.Model(source, x)
    signature = tf.function(model, input_signature=[tf.TensorSpec((1, *SHAPE[1:], SHAPE[0]), tf.float32)])
    for name, edge in (("keras_int8", tf.int8), ("keras_float_edges", tf.float32), ("keras_float", None)):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([signature.get_concrete_function()])
        if edge is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([each[None]] for each in noise(64, True))
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = edge
        (HERE / f"{name}.tflite").write_bytes(converter.convert())
    int8 = str(HERE / "keras_int8.tflite")
    tf2onnx.convert.from_tflite(int8, opset=17, output_path=str(HERE / "tf2onnx_int8.onnx"))
    tf2onnx.convert.from_function(
        signature, input_signature=signature.input_signature, opset=13, output_path=str(HERE / "tf2onnx_float.onnx")
    )


def keras_sizes() -> None:
    """TFLite from Keras with a batch that is not fixed: it computes sizes (SHAPE, STRIDED_SLICE, PACK, ...)."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    source = layers.Input((*SHAPE[1:], SHAPE[0]))
    x = layers.Conv2D(6, 3, 2, padding="same", activation="gelu")(source)
    x = layers.Conv2DTranspose(4, 3, 2, padding="same")(x)
    x = layers.Dense(5, activation="relu")(layers.Reshape((SHAPE[1], SHAPE[2] * 4))(x))
    model = tf.keras.Model(source, layers.Dense(4)(layers.Flatten()(x)))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([each[None]] for each in noise(64, True))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    (HERE / "keras_sizes.tflite").write_bytes(converter.convert())


def torchao() -> None:
    """PT2E: int8 with the quantizer for XNNPACK, and half of uint8 (`reduce_range`) with the one for x86."""
    import torch
    import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer as x86
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.testing.pt2e._xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config

    x = (torch.from_numpy(noise(1)),)
    quantizers = {
        "pt2e_xnnpack": XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True)),
        "pt2e_x86": x86.X86InductorQuantizer().set_global(
            x86.get_default_x86_inductor_quantization_config(reduce_range=True)
        ),
    }
    for name, quantizer in quantizers.items():
        prepared = prepare_pt2e(torch.export.export(network(), x).module(), quantizer)
        for each in noise(64):
            prepared(torch.from_numpy(each[None]))
        program = torch.export.export(convert_pt2e(prepared), x)
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # of the machine that made it
        torch.export.save(program, HERE / f"{name}.pt2")
        _deflate(HERE / f"{name}.pt2")


def _deflate(path: Path) -> None:
    """torch stores what can be a fifth of the size."""
    with zipfile.ZipFile(path) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    {"brevitas": brevitas, "nncf": nncf, "keras": keras, "keras_sizes": keras_sizes, "torchao": torchao}[sys.argv[1]]()
