"""A model file of somebody else's in somebody else's SConstruct."""

import shutil

import numpy as np

from tests.foreign.project import Foreign
from tests.importers.files.make import noise
from tests.importers.pipeline import FILES
from tests.needs import need_command


def test_an_imported_model_in_another_build(foreign: Foreign) -> None:
    need_command("gcc", "gcc")
    foreign.write("models/net/SConscript", 'Import("env")\nenv.ImportModel("net", onnx="net.tflite").Firmware()\n')
    shutil.copy(FILES / "keras_int8.tflite", foreign.top / "models/net/net.tflite")
    foreign.write(
        "SConstruct",
        'import nnrules\nenv = Environment(tools=["default", nnrules.tool()])\n'
        'env.StaticLibrary("net", env.NNModel("net"))\n',
    )
    foreign.built()
    assert {"net convert", "net quantize", "net verify"} <= set(foreign.stages())
    assert (foreign.top / "libnet.a").is_file()
    np.savez(foreign.top / "models/net/samples.npz", x=noise(4, channels_last=True))
    foreign.write(
        "models/net/SConscript",
        'Import("env")\nenv.ImportModel("net", onnx="net.tflite", samples="samples.npz").Firmware()\n',
    )
    foreign.built()
    assert "net verify" in foreign.stages()
