"""What is drawn of a graph, so that it can be read: steps as boxes that list the files they make and those they alone
read; an oval for all other files that go to the same steps.

So it is for files that come from a step of another group: few lines lead from group to group.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nnrules.rules.drawing.node import STATES, Node, State, printable, shortened

_TITLE, _LINE = 30, 34  # letters
_READ, _MADE = 2, 4  # lines

Users = tuple[str, ...]  # names of steps


@dataclass(eq=False)
class Shape:
    """kind: a step, files, or files from another group. `title` and `lines` are shown, `told` is the whole story.

    needs: shapes of the same group that come before; far: the step of another group that makes these files.
    """

    kind: Literal["step", "files", "far"]
    group: str
    state: State
    title: str
    lines: list[str]
    told: str
    needs: list["Shape"] = field(default_factory=list)
    far: "Shape | None" = None


def shapes(nodes: Sequence[Node]) -> list[Shape]:
    """The shapes of a graph: each node is in one of them at least."""
    return _Graph(nodes).shapes()


class _Graph:
    """Who makes, and who reads."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._steps = [node for node in self._nodes.values() if node.kind == "step"]
        self._made: dict[str, list[Node]] = {step.name: [] for step in self._steps}
        self._maker: dict[str, Node] = {step.name: step for step in self._steps}  # a step needs another as it is, too
        self._readers = dict[str, list[Node]]()
        for node in self._nodes.values():
            for name in node.inputs:
                if node.kind == "step":
                    self._readers.setdefault(name, []).append(node)
                elif name in self._made:
                    self._made[name].append(node)
                    self._maker[node.name] = self._nodes[name]

    def shapes(self) -> list[Shape]:
        """Steps, then files from outside, then files from other groups."""
        alone, shared = self._sources()
        boxes = {step.name: _box(step, alone.get(step.name, []), self._made[step.name]) for step in self._steps}
        ovals = list[Shape]()
        for (group, state, users), files in shared.items():
            ovals.append(_oval(group, state, files))
            _feed(ovals[-1], users, boxes)
        for step, maker in self._needs():
            if maker.group == step.group:
                boxes[step.name].needs.append(boxes[maker.name])
        return [*boxes.values(), *ovals, *self._from_afar(boxes)]

    def _sources(self) -> tuple[dict[str, list[Node]], dict[tuple[str, State, Users], list[Node]]]:
        """Files that no step makes: by the only step of a group that reads them, and by group, state and readers."""
        alone = dict[str, list[Node]]()
        shared = dict[tuple[str, State, Users], list[Node]]()
        for file in self._nodes.values():
            if file.name in self._maker:
                continue
            for group, users in self._users(file):
                if len(users) == 1 and file.state == "current":
                    alone.setdefault(users[0], []).append(file)
                else:
                    shared.setdefault((group, file.state, users), []).append(file)
        return alone, shared

    def _users(self, file: Node) -> list[tuple[str, Users]]:
        """The steps that read a file, by group; none in its own group where nobody does."""
        groups = dict[str, list[str]]()
        for step in self._readers.get(file.name, []):
            groups.setdefault(step.group, []).append(step.name)
        return [(group, tuple(names)) for group, names in groups.items()] or [(file.group, ())]

    def _needs(self) -> Iterator[tuple[Node, Node]]:
        """Every step with every other one that it needs."""
        for step in self._steps:
            makers = (self._maker[name] for name in step.inputs if name in self._maker)
            yield from ((step, maker) for maker in makers if maker is not step)

    def _from_afar(self, boxes: dict[str, Shape]) -> Iterator[Shape]:
        """An oval for all that a group needs from a step of another one."""
        far = dict[tuple[str, str], dict[str, None]]()
        for step, maker in self._needs():
            if maker.group != step.group:
                far.setdefault((maker.name, step.group), {})[step.name] = None
        for (name, group), users in far.items():
            maker = self._nodes[name]
            read = {each for user in users for each in self._nodes[user].inputs}
            files = [file for file in self._made[name] if file.name in read]
            shape = _oval(group, maker.state, files, maker)
            shape.far = boxes[name]
            _feed(shape, users, boxes)
            yield shape


def _feed(shape: Shape, users: Iterable[str], boxes: dict[str, Shape]) -> None:
    for name in users:
        boxes[name].needs.append(shape)


def _box(step: Node, read: list[Node], made: list[Node]) -> Shape:
    """A step with its detail, the files that it alone reads, and the files it makes."""
    lines = _listed([printable(line) for line in step.detail.split("\n") if line], _READ)
    lines += _listed([f"← {printable(file.label)}" for file in read], _READ)
    lines += _listed([f"→ {printable(file.label)}" for file in made], _MADE)
    told = [printable(step.name), *_about(step)]
    told += [line for file in read for line in _story(file, "reads ")]
    told += [line for file in made for line in _story(file, "makes ")]
    return Shape("step", step.group, step.state, shortened(printable(step.label), _TITLE), lines, "\n".join(told))


def _oval(group: str, state: State, files: list[Node], maker: Node | None = None) -> Shape:
    """Files that go the same way; `maker`: the step of another group that they come from."""
    names = [printable(file.label) for file in files]
    if maker is not None:
        title, lines, told = f"from {printable(maker.label)}", names, [f"from {printable(maker.name)}"]
    elif len(names) == 1:
        title, lines, told = names[0], [], []
    else:
        title, lines, told = f"{len(names)} files", names, []
    told += [line for file in files for line in _story(file)]
    shown = _listed(lines, _READ)
    return Shape("far" if maker else "files", group, state, shortened(title, _TITLE), shown, "\n".join(told))


def _story(node: Node, doing: str = "") -> list[str]:
    return [doing + printable(node.name), *(f"  {line}" for line in _about(node))]


def _about(node: Node) -> list[str]:
    return [STATES[node.state], *(printable(line) for line in node.detail.split("\n") if line)]


def _listed(names: list[str], most: int) -> list[str]:
    """Some of the names, and how many more there are."""
    if len(names) <= most:
        return [shortened(name, _LINE) for name in names]
    shown = [shortened(name, _LINE) for name in names[: most - 1]]
    return [*shown, f"{names[0][:2] if names[0][:1] in '←→' else ''}and {len(names) - len(shown)} more"]
