"""What is compiled and linked: names, the verified object in every program, the order of proof and programs."""

import ctypes
import json
import re
import shutil
import subprocess
from hashlib import sha256

from tests.rules.project import Project


def named(project: Project, name: str) -> Project:
    """The project with its model `dense` also under another name."""
    shutil.copytree(project.top / "models/dense", project.top / "models" / name)
    project.edit(f"models/{name}/SConscript", 'Model\\("dense"', f'Model("{name}"')
    return project


def test_a_name_that_is_no_identifier(project: Project) -> None:
    name = "my-net.v2"
    project = named(project, name)
    project.rebuild(f"model={name}")
    folder = project.top / f"build/{name}/x86-64"
    for ending in ("c", "h", "elf", "verify.json", "measured.json", "report.html"):
        assert (folder / f"{name}.{ending}").is_file()
    assert f'#include "{name}.h"' in (folder / f"{name}.c").read_text()
    assert json.loads((folder / f"{name}.measured.json").read_text())["model"] == name
    assert hasattr(ctypes.CDLL(str(folder / f"lib{name}.so")), "my_net_v2_run")
    assert project.rebuild(f"model={name}") == set()


def test_every_program_links_the_verified_object(built: Project) -> None:
    folder = built.top / "build/dense/x86-64"
    proof = json.loads((folder / "dense.verify.json").read_text())
    assert proof["objects"] == {"dense.o": sha256((folder / "objects/dense.o").read_bytes()).hexdigest()}
    object_files = {path.relative_to(folder / "objects").as_posix() for path in folder.glob("objects/**/dense.o")}
    assert object_files == {"dense.o", "nn_trace_rows/dense.o", "host/nn_trace_rows/dense.o"}


def test_the_library_holds_the_verified_code(built: Project) -> None:
    folder = built.top / "build/dense/x86-64"
    assert code(folder / "libdense.so") == code(folder / "objects/dense.o") != ""


def code(file: object) -> str:
    """The instructions of dense_run, without addresses and what a linker fills in."""
    words = ["objdump", "-d", "--no-addresses", "--no-show-raw-insn", "--disassemble=dense_run", str(file)]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return "\n".join(re.findall(r"^\t(\w+)", text, re.MULTILINE))


def test_nothing_is_linked_for_users_before_the_proof(project: Project) -> None:
    project.edit("nnrules/stages/verify.py", r"\nfrom", "\nraise SystemExit(1)\nfrom")
    (project.top / "build/dense/x86-64/libdense.so").unlink()
    (project.top / "build/dense/x86-64/dense.elf").unlink()
    assert project.build("-k", "model=dense").status == 2
    assert project.stages("failed") == {"dense verify"}
    assert not (project.top / "build/dense/x86-64/libdense.so").exists()
    assert not (project.top / "build/dense/x86-64/dense.elf").exists()


def test_a_header_that_nothing_can_see_is_refused(project: Project) -> None:
    folder, object_file = project.top / "models/dense", "build/dense/x86-64/objects/application/main.o"
    project.edit("models/dense/SConscript", "quantized.Firmware\\(", 'quantized.Firmware(application=["main.c"], ')
    (folder / "my config").mkdir()
    (folder / "my config/board#1.h").write_text("#define BOARD 1\n")
    (folder / "seen.h").write_text('#include "dense.h"\n')
    main = '#include <stdio.h>\n#include "seen.h"\nint main(void) { return 0; }\n'
    (folder / "main.c").write_text(main)
    assert project.build("model=dense", object_file).status == 0
    usual = (project.top / object_file).read_bytes()
    (folder / "main.c").write_text('#define CONFIG "my config/board#1.h"\n#include CONFIG\n' + main)
    done = project.build("model=dense", object_file)
    fault = "includes models/dense/my config/board#1.h in a way that cannot be seen beforehand"
    line = f"models/dense/main.c: {fault}; write its name in the #include\n"
    assert (done.status, done.stderr) == (2, line)
    left = {path.name for path in (project.top / object_file).parent.iterdir()}
    assert left <= {"main.o"}
    (folder / "main.c").write_text('#include "my config/board#1.h"\n' + main)
    assert project.build("model=dense", object_file).status == 0
    assert (project.top / object_file).read_bytes() == usual
