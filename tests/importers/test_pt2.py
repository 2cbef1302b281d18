"""torch.export's archives: imported, float or quantized; none of their parts is unpickled or run."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nnrules.error import UserError
from nnrules.graph.importers import import_model
from tests.importers.files.make import network, noise
from tests.importers.pipeline import FILES, Imported, through
from tests.importers.test_tools import require_near, samples

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float network."""
    import torch

    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    torch.export.save(torch.export.export(network(), (torch.from_numpy(noise(1)),)), path)
    return path


def test_a_float_program(archive: Path, tmp_path: Path) -> None:
    require_near(through(archive, tmp_path, samples(tmp_path)), 6)


def test_a_batch_that_is_not_fixed(tmp_path: Path) -> None:
    import torch
    from torch import nn

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.last = network(), nn.Linear(2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.last(self.network(x).reshape(2 * x.shape[0], 2))
            return y.reshape(x.shape[0], 6)

    torch.manual_seed(1)
    sizes = ({0: torch.export.Dim("n")},)
    for made in (network(), Mixed().eval()):
        path = tmp_path / "net.pt2"
        torch.export.save(torch.export.export(made, (torch.from_numpy(noise(2)),), dynamic_shapes=sizes), path)
        require_near(through(path, tmp_path, samples(tmp_path)), 6)


def test_a_quantized_program(tmp_path: Path) -> None:
    import torch
    import torch.ao.quantization.fx._decomposed
    from torch import nn

    decomposed = torch.ops.quantized_decomposed

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            generator = np.random.default_rng(0)
            self.register_buffer("w", torch.from_numpy(generator.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)))
            self.register_buffer("s", torch.from_numpy(generator.uniform(0.001, 0.01, 4).astype(np.float32)))
            self.register_buffer("z", torch.zeros(4, dtype=torch.int64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            def pair(value: torch.Tensor, scale: float, point: int) -> torch.Tensor:
                stored = decomposed.quantize_per_tensor.default(value, scale, point, -128, 127, torch.int8)
                return decomposed.dequantize_per_tensor.default(stored, scale, point, -128, 127, torch.int8)

            w = decomposed.dequantize_per_channel.default(self.w, self.s, self.z, 0, -128, 127, torch.int8)
            return pair(torch.relu(nn.functional.conv2d(pair(x, 0.02, -28), w)), 0.05, -128)

    path = tmp_path / "quantized.pt2"
    made = Net().eval()
    torch.export.save(torch.export.export(made, (torch.from_numpy(noise(1)),)), path)
    found = through(path, tmp_path, samples(tmp_path))
    require_near(found, 1)
    np.testing.assert_array_equal(found.graph.nodes[0].operator.weights, made.w.numpy().transpose(0, 2, 3, 1))


def loaded(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The program as torch runs it, sample by sample."""
    import torch
    import torch.ao.quantization.fx._decomposed

    program = torch.export.load(path).module()
    return lambda x: np.concatenate([program(torch.from_numpy(each[None])).detach().numpy() for each in x])


def require_like_torch(found: Imported, path: Path, steps: float) -> None:
    """So many steps of the output's scale at most from what torch computes, and one more for the integers."""
    ((exact, integer),) = found.outputs()
    real, scale = loaded(path)(found.x), found.graph.tensors[found.graph.outputs[0]].scale
    assert np.abs(exact - real).max() <= scale * (steps + 0.01)
    assert np.abs(integer - real).max() <= scale * (steps + 1.01)


@pytest.mark.parametrize("name", ["pt2e_xnnpack.pt2", "pt2e_x86.pt2"])
@pytest.mark.parametrize("factor", [1, 3])  # far beyond what was calibrated
def test_programs_of_torchao(name: str, factor: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=noise(64) * np.float32(factor))
    found = through(FILES / name, tmp_path, tmp_path / "s.npz")
    distances = found.distances()
    assert len(distances) >= 7
    assert max(each["largest"] for each in distances.values()) <= 1
    require_like_torch(found, FILES / name, 1)


def narrow(scale: float | None, low: int, high: int, dtype: str, folder: Path) -> Path:
    """A program that quantizes its input and a sum to part of a type; with a tensor for a scale where it is None."""
    import torch
    import torch.ao.quantization.fx._decomposed
    from torch import nn

    decomposed, kind = torch.ops.quantized_decomposed, getattr(torch, dtype)

    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            def pair(value: torch.Tensor) -> torch.Tensor:
                if scale is None:
                    edge = (torch.tensor(0.1), torch.tensor(1))
                    stored = decomposed.quantize_per_tensor.tensor(value, *edge, low, high, kind)
                    return decomposed.dequantize_per_tensor.tensor(stored, *edge, low, high, kind)
                stored = decomposed.quantize_per_tensor.default(value, scale, 3, low, high, kind)
                return decomposed.dequantize_per_tensor.default(stored, scale, 3, low, high, dtype=kind)

            once = pair(x)
            return pair(once + once)

    path = folder / "narrow.pt2"
    torch.export.save(torch.export.export(Net().eval(), (torch.from_numpy(noise(1)),)), path)
    return path


@pytest.mark.parametrize(
    ("low", "high", "dtype"), [(0, 127, "uint8"), (-127, 127, "int8"), (-8, 7, "int8"), (0, 15, "uint8")]
)
def test_part_of_a_type_is_clamped(low: int, high: int, dtype: str, tmp_path: Path) -> None:
    path = narrow(2.0**-6, low, high, dtype, tmp_path)
    found = through(path, tmp_path, samples(tmp_path))
    require_like_torch(found, path, 0)
    ((exact, _),) = found.outputs()
    assert (exact.min(), exact.max()) == ((low - 3) / 64, (high - 3) / 64)


def test_part_of_a_type_by_a_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        import_model(narrow(None, 0, 127, "uint8", tmp_path), "net")
    assert str(caught.value) == (
        "net: node 'quantize_per_tensor': quantizes to 0..127 of torch.uint8 with a scale that is a tensor; "
        "quantize to the whole type (reduce_range=False)"
    )


def test_what_onnx_does_not_have_is_refused(tmp_path: Path) -> None:
    import torch
    from torch import nn

    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x)

    path = tmp_path / "bessel.pt2"
    torch.export.save(torch.export.export(Net(), (torch.from_numpy(noise(1)),)), path)
    with pytest.raises(UserError) as caught:
        import_model(path, "net")
    said = f"{path}: cannot be exported to ONNX by torch; it says: Failed to convert the exported program to an ONNX "
    assert str(caught.value).startswith(said)
    assert str(caught.value).isprintable()


class Command:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (print, ("unpickled",))


def altered(archive: Path, folder: Path, part: str, edit: Callable[[bytes], bytes]) -> Path:
    """A copy in which the parts whose names end in `part` are others."""
    path = folder / "net.pt2"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(path, "w") as copy:
        for each in source.infolist():
            content = source.read(each)
            copy.writestr(each.filename, edit(content) if each.filename.endswith(part) else content)
    return path


def pickled_weights(content: bytes) -> bytes:
    config = json.loads(content)
    next(iter(config["config"].values()))["use_pickle"] = True
    return json.dumps(config).encode()


def other_target(content: bytes) -> bytes:
    return content.replace(b"torch.ops.aten.relu.default", b"os.system")


def computed_size(content: bytes) -> bytes:
    program = json.loads(content)
    program["range_constraints"] = {"__import__('os').abort()": {"min_val": 0, "max_val": 9}}
    program["graph_module"]["signature"]["note"] = {"expr_str": "__import__('os').abort()"}
    return json.dumps(program).encode()


@pytest.mark.parametrize(
    ("part", "edit", "message"),
    [
        ("model_weights_config.json", pickled_weights, "{path}: holds a pickled object "
         "(net/data/weights/model_weights_config.json); export the model with plain tensors"),
        ("sample_inputs/model.pt", lambda _: pickle.dumps(Command()), "{path}: holds a pickled object "
         "(net/data/sample_inputs/model.pt); export it with plain tensors"),
        ("models/model.json", other_target, "net: calls os.system; "
         "only torch's own operators (torch.ops.aten) are supported"),
        ("models/model.json", computed_size, "net: has a size that is computed: __import__('os').abort(); "
         "export the model with fixed sizes"),
    ],
)  # fmt: skip
def test_nothing_of_it_is_run(
    archive: Path, tmp_path: Path, part: str, edit: Callable[[bytes], bytes], message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = altered(archive, tmp_path, part, edit)
    with pytest.raises(UserError) as caught:
        import_model(path, "net")
    assert str(caught.value) == message.format(path=path)
    assert "unpickled" not in capfd.readouterr().out


def test_other_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    path.write_bytes(b"PK no zip")
    with pytest.raises(UserError) as caught:
        import_model(path, "net")
    assert str(caught.value) == f"{path}: is not a whole .pt2 archive; it says: File is not a zip file"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as empty:
        empty.writestr("version", "3")
    path.write_bytes(buffer.getvalue())
    with pytest.raises(UserError) as caught:
        import_model(path, "net")
    assert str(caught.value) == (
        f"{path}: holds 0 exported programs in the form of torch 2.9 and later; save one with torch.export.save"
    )
