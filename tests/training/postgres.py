"""A PostgreSQL server of its own in a temporary folder, from Debian's package, on a port of loopback."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cache.servers import free_port
from tests.needs import need_command

PASSWORD = "open sesame"
_SETTINGS = {"unix_socket_directories": "", "fsync": "off", "max_connections": "20", "shared_buffers": "16MB"}


@dataclass(frozen=True)
class Postgres:
    """`programs`: where the package has put its own; `user`: whose the server is, None: ours."""

    programs: Path
    folder: Path
    port: int
    user: str | None

    @property
    def url(self) -> str:
        """For a study, password included."""
        return f"postgresql+psycopg://nnrules:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Serve; returns when it answers."""
        settings = " ".join(f"-c {name}='{value}'" for name, value in _SETTINGS.items())
        self._run(
            "pg_ctl", "-w", "-o", f"-h 127.0.0.1 -p {self.port} {settings}", "-l", str(self.folder / "log"), "start"
        )

    def stop(self) -> None:
        """As when the machine is switched off."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def create(self) -> None:
        """The files of a server."""
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        if self.user:
            shutil.chown(self.folder, self.user)
            shutil.chown(secret, self.user)
        self._run(
            "initdb", "-U", "nnrules", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync", "--no-instructions"
        )

    def _run(self, program: str, *words: str) -> None:
        command = [str(self.programs / program), "-D", str(self.folder / "data"), *words]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        group = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []} if self.user else {}
        done = subprocess.run(
            command, cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False, **group
        )  # type: ignore[call-overload]
        assert done.returncode == 0, f"{program}: {(self.folder / 'log').read_text() if program == 'pg_ctl' else ''}"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server that runs, in a folder that every user may enter. It refuses to be root's: then it is Debian's user's,
    or nobody's."""
    path = os.pathsep.join([*map(str, Path("/usr/lib/postgresql").glob("*/bin")), os.environ["PATH"]])
    need_command("postgres", "postgresql", path)
    program = shutil.which("postgres", path=path)
    assert program is not None
    names = {each.pw_name for each in pwd.getpwall()}
    user = None if os.geteuid() else "postgres" if "postgres" in names else "nobody"
    with tempfile.TemporaryDirectory(prefix="nnrules-postgres-") as folder:
        server = Postgres(Path(program).resolve().parent, Path(folder), free_port(), user)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
