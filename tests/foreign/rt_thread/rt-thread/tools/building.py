"""Written for these tests in the shape of RT-Thread's tools/building.py: the same names, calls and side effects."""

import os
import re
import sys

from SCons.Script import *

BuildOptions = {}
Projects = []
Rtt_Root = ""
Env = None


def GetCurrentDir():
    conscript = File("SConscript")
    return os.path.dirname(conscript.rfile().abspath)


def PrepareBuilding(env, root_directory, has_libcpu=False):
    global Env, Rtt_Root
    AddOption("--verbose", dest="verbose", action="store_true", default=False)
    Env = env
    Rtt_Root = os.path.abspath(root_directory)
    Env["RTT_ROOT"] = Rtt_Root
    Env["BSP_ROOT"] = Dir("#").abspath
    sys.path = [*sys.path, os.path.join(Rtt_Root, "tools")]
    with open("rtconfig.h") as f:
        for name, value in re.findall(r"^#define (\w+) *(.*)$", f.read(), re.MULTILINE):
            BuildOptions[name] = value or True
    if not GetOption("verbose"):
        env.Replace(CCCOMSTR="CC $TARGET", ASCOMSTR="AS $TARGET", LINKCOMSTR="LINK $TARGET")
    Env.Append(CPPPATH=[Rtt_Root + "/include"])
    objs = SConscript("SConscript", variant_dir="build", duplicate=0)
    objs.extend(SConscript(Rtt_Root + "/src/SConscript", variant_dir="build/kernel/src", duplicate=0))
    if not has_libcpu:
        objs.extend(SConscript(Rtt_Root + "/libcpu/SConscript", variant_dir="build/kernel/libcpu", duplicate=0))
    return objs


def GetDepend(depend):
    if type(depend) == type("str"):
        return depend in BuildOptions and BuildOptions[depend] != 0
    return all(item == "" or (item in BuildOptions and BuildOptions[item] != 0) for item in depend)


def DefineGroup(name, src, depend, **parameters):
    if not GetDepend(depend):
        return []
    group = parameters
    group["name"] = name
    group["path"] = GetCurrentDir()
    if type(src) == type([]):
        src = list(set(src))  # no file twice
        group["src"] = File(src)
    else:
        group["src"] = src
    if "CCFLAGS" in group:
        Env.AppendUnique(CCFLAGS=group["CCFLAGS"])
    if "CPPPATH" in group:
        paths = []
        for item in group["CPPPATH"]:
            paths.append(os.path.abspath(item))
        group["CPPPATH"] = paths
        Env.AppendUnique(CPPPATH=group["CPPPATH"])
    if "CPPDEFINES" in group:
        Env.AppendUnique(CPPDEFINES=group["CPPDEFINES"])
    Projects.append(group)
    return group["src"]


def DoBuilding(target, objects):
    def one_list(items):
        found = []
        for item in items:
            found += one_list(item) if type(item) == type([]) else [item]
        return found

    program = Env.Program(target, one_list(objects))
    Env.AlwaysBuild(program)  # the real one has a post action with the same effect
    Default(program)
