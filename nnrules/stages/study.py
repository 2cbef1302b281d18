"""study: the rows of a study as tables and a picture.

Input: rows (JSON, see the row stage). Outputs: results (JSON), tables (Markdown, which the terminal shows), picture
(SVG).
"""

from pathlib import Path

import msgspec

from nnrules.catalog.stages import StudyOptions
from nnrules.stages.runner import Request, main
from nnrules.verify import study


def run(request: Request[StudyOptions]) -> None:
    """Write all rows, in the order in which they were declared."""
    rows = [msgspec.json.decode(Path(path).read_bytes()) for path in request.inputs["rows"]]
    results = {"title": request.options.title, "rows": rows}
    request.output("results").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    request.output("tables").write_text(study.tables(request.options, rows), encoding="utf-8")
    study.draw(rows, request.output("picture"))


if __name__ == "__main__":
    main(run, StudyOptions)
