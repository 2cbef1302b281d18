from platformio.public import PlatformBase


class BenchPlatform(PlatformBase):
    """Compilers are taken from PATH."""
