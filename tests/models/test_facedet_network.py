"""FaceDet fits the budgets it was drawn for, and learns."""

import pytest
import torch
from dataset import FaceScenes
from network import FaceDet, overlap

from nnrules.catalog.stages import Recipe
from nnrules.training.loop import fit
from nnrules.training.repeatable import prepare

WEIGHT_BUDGET = 50 * 1024
ROW_BUDGET = 3 * 1024


def test_weights_and_the_rows_that_all_windows_see_at_once_fit():
    network = FaceDet().eval()
    rows = []

    def note(module, inputs, output):
        channels, width = inputs[0].shape[1], inputs[0].shape[3]
        if module.kernel_size[0] > 1:
            rows.append(channels * width * module.kernel_size[0])

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(note)
    output = network(torch.zeros(1, 1, 96, 96))
    assert output.shape == (1, 5, 12, 12)
    assert sum(parameter.numel() for parameter in network.parameters()) + 9 * 300 <= WEIGHT_BUDGET
    assert sum(rows) <= ROW_BUDGET


def test_overlap_of_boxes():
    first = torch.tensor([[0.0, 0, 10, 10]] * 3)
    second = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10]])
    assert overlap(first, second).tolist() == pytest.approx([1, 1 / 3, -1 / 3])


def test_the_loss_falls_within_a_few_steps(tmp_path):
    prepare(seed=1, threads=1)
    recipe = Recipe(batch_size=16, learning_rate=0.003, workers=0)
    losses = fit(FaceDet(), FaceScenes("train", length=96), recipe, 4, tmp_path, "test")
    assert losses[-1] < 0.75 * losses[0]


def test_the_loss_of_scenes_without_faces_is_finite():
    network = FaceDet()
    loss = network.loss(network(torch.zeros(2, 1, 96, 96)), torch.zeros(2, 5, 12, 12))
    loss.backward()
    assert torch.isfinite(loss)
