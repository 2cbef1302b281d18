"""A study's tables."""

from nnrules.catalog.stages import StudyOptions
from nnrules.verify.study import tables

ROW = {
    "model": "faces", "method": "float", "weight_bits": 32, "activation_bits": 32, "sparsity": 0.0, "metric": "AP@0.4",
    "metric_mean": 0.91, "metric_std": 0.004, "seeds": 3, "macs": 4_000_000, "weight_bytes": 200_000,
    "instructions": None, "target": "cortex-m7", "differing": 0,
}  # fmt: skip
OTHER = {
    **ROW, "method": "lsq", "weight_bits": 4, "activation_bits": 8, "metric_mean": 0.9, "weight_bytes": 26_000,
    "instructions": 3_500_000,
}  # fmt: skip


def test_a_table_of_each_model() -> None:
    heading, notes, model, about, table = tables(StudyOptions(title="All", notes="\nSo.\n"), [ROW, OTHER]).split("\n\n")
    assert (heading, notes, model) == ("# All", "So.", "## faces")
    assert about.startswith("AP@0.4, mean and standard deviation over the seeds;")
    assert about.endswith("every integer was compared, 0 differ.")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert cells[2] == ["float", "float", "float", "-", "0.9100", "0.0040", "-", "3", "4,000,000", "200,000", "-"]
    assert cells[3][:8] == ["lsq", "4 bits", "8 bits", "-", "0.9000", "0.0040", "-1.00", "3"]
    assert cells[3][8:] == ["4,000,000", "26,000", "3,500,000"]
