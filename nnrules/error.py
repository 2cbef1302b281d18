"""The one exception for mistakes a user can make and mend."""

from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user's: shown as one line ``place: fault; cure``, exit code 2, no traceback.

    ``place`` is a file, a line of it, a layer or a command-line word; ``fault`` says what is wrong there, ``cure`` what
    would be right (may be empty).  Anything that is not a ``UserError`` is a bug of nnrules and keeps its traceback.
    """

    def __init__(self, place: str, fault: str, cure: str = "") -> None:
        self.place, self.fault, self.cure = place, fault, cure
        super().__init__(f"{place}: {fault}" + (f"; {cure}" if cure else ""))


def suggest(word: str, known: Iterable[str]) -> str:
    """The cure for an unknown ``word``: its nearest neighbour among ``known``, or the list of all of them.

    >>> suggest("cortex-m8", ["cortex-m7", "x86-64"])
    "did you mean 'cortex-m7'?"
    >>> suggest("zzz", ["b", "a"])
    'choose from a, b'
    """
    import difflib  # which a build without a mistake does not need

    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else "choose from " + ", ".join(names)
