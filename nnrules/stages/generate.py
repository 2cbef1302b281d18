"""Generate a model's C for one target, from the graph, the plan and the kernel templates that it names."""

from nnrules.catalog.stages import GenerateOptions
from nnrules.codegen.model import ModelCode
from nnrules.codegen.render import port_header
from nnrules.graph.ir import load
from nnrules.plan.record import load_plan
from nnrules.stages.runner import Request, main
from nnrules.verify import samples


def run(request: Request[GenerateOptions]) -> None:
    """Inputs ``graph``, ``plan``, ``samples``; outputs ``source``, ``header``, ``selftest``, ``check`` and ``port``
    (nn_port.h).
    """
    graph = load(request.input("graph"))
    first = samples.load(graph, request.input("samples"), 1)
    code = ModelCode(graph, load_plan(request.input("plan")))
    request.output("source").write_text(code.source())
    request.output("header").write_text(code.header())
    request.output("selftest").write_text(code.selftest(*(first[name][0] for name in graph.arguments)))
    request.output("check").write_text(code.check())
    request.output("port").write_text(port_header())


if __name__ == "__main__":
    main(run, GenerateOptions)
