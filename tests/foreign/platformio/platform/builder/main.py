"""Compiler, flags and targets, as a PlatformIO platform sets them."""

from SCons.Script import AlwaysBuild, Default, DefaultEnvironment

env = DefaultEnvironment()
embedded = "-mcpu=" in str(env.GetProjectOption("build_flags", ""))
prefix, board = ("arm-none-eabi-", "board") if embedded else ("", "host")
env.Replace(
    AR=prefix + "ar",
    AS=prefix + "gcc",
    CC=prefix + "gcc",
    RANLIB=prefix + "ranlib",
    PROGNAME="program",
    PROGSUFFIX=".elf",
)
env.Append(CCFLAGS=["-O2", "-Wall"], CPPPATH=[f"$PROJECT_DIR/{board}"])
if embedded:
    env.Append(ASFLAGS=["-c", "$CCFLAGS"], LINKFLAGS=["$CCFLAGS", "-nostdlib", "-T$PROJECT_DIR/board/link.ld"])
env.Append(PIOBUILDFILES=env.CollectBuildFiles(f"$BUILD_DIR/{board}", f"$PROJECT_DIR/{board}"))
elf = env.BuildProgram()
AlwaysBuild(env.Alias("buildprog", elf, elf))
Default("buildprog")
