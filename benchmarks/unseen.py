"""How good the face detector is on scenes beside those of its test split, by whose score its network was chosen.

    scons model=facedet && python -m benchmarks.unseen [--sets 8] [--build build]

The test split's 500 scenes are the first of a sequence without end; each set is the next 500 of it: the same held-out
faces, non-faces and photographs, composed otherwise. Prints the metric of the float and of the integer model on each,
with the mean, the worst and the best.
"""

import argparse
from pathlib import Path
from typing import Any

from nnrules.graph.ir import load
from nnrules.stages.evaluate import float_runner, integer_runner
from nnrules.stages.runner import load_reference
from nnrules.training.metric import measure

TOP = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=8, help="how many times 500 scenes")
    parser.add_argument("--build", type=Path, default=TOP / "build", help="where facedet was built")
    given = parser.parse_args()
    built = given.build / "facedet"
    if not (built / "facedet.integer.onnx").is_file():
        parser.error(f"there is no model in {built}; run scons model=facedet")
    results = []
    for number in range(1, given.sets + 1):
        results.append(scores(unseen(number), built))
        print(f"set {number}: float {results[-1][0]:.4f}, integer {results[-1][1]:.4f}", flush=True)
    for name, each in zip(("float", "integer"), zip(*results, strict=True), strict=True):
        print(f"{name}: {sum(each) / len(each):.4f}, {min(each):.4f} to {max(each):.4f}")


def unseen(number: int) -> Any:
    """Set ``number`` of scenes, as a dataset; 0 is the test split."""
    scenes = load_reference(f"{TOP / 'models/facedet/dataset.py'}:FaceScenes")
    count = len(scenes("test"))

    class Unseen(scenes):
        """From another scene on."""

        def __len__(self) -> int:
            return count

        def scene(self, index: int) -> Any:
            """As that of the test split, were it longer."""
            return super().scene(number * count + index)

    return Unseen("test", length=(number + 1) * count)


def scores(dataset: Any, built: Path) -> tuple[float, float]:
    """The metric of the float and of the integer model."""
    graph = load(built / "facedet.graph.json")
    runners = float_runner(built / "facedet.float.onnx"), integer_runner(built / "facedet.integer.onnx", graph)
    found = [measure(dataset, runner) for runner in runners]
    assert found[0] is not None
    assert found[1] is not None
    return found[0]["value"], found[1]["value"]


if __name__ == "__main__":
    main()
