"""A Debian with a real systemd, in a container: what the packages are installed on.

The base is made once with debootstrap, from the mirror that this machine's own apt uses, and lies under the target folder;
every container is an overlay on it that is gone afterwards. Needs root, debootstrap, systemd-nspawn and overlayfs.
"""

import hashlib
import os
import pathlib
import shlex
import shutil
import signal
import subprocess

from testbed import CommandFailed, run, wait_for

SYSTEM = pathlib.Path(os.environ["CARGO_TARGET_DIR"]) / "system"
# A small server: no more than an administrator would expect to be there, what the pages for operators name, rpm, and a driver of ODBC.
INSTALLED = "systemd,systemd-sysv,dbus,libnss-systemd,ca-certificates,curl,openssl,sqlite3,rpm,libodbc2,libsqliteodbc"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "EDITOR": "/root/editor",
}


def base():
    """The folder with an untouched Debian; made where there is none yet."""
    release = dict(
        line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    codename = release["VERSION_CODENAME"].strip('"')
    made_of = hashlib.sha256(f"{codename} {INSTALLED}".encode()).hexdigest()[:8]
    folder = SYSTEM / f"debian-{codename}-{made_of}"
    if not folder.exists():
        targets = run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"])
        sites = [line.split()[0] for line in targets.splitlines() if line.split()[1:] == [codename, "main"]]
        if not sites:
            raise AssertionError(f"this machine's apt has no {codename} main to take a mirror from")
        new = folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        run(["debootstrap", "--variant=minbase", f"--include={INSTALLED}", codename, new, sites[0]], 900)
        new.rename(folder)
    return folder


class Container:
    """One machine with systemd as its first process, and no network but its own loopback."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder / name
        self.folder.mkdir()
        self.layers, self.root = self.folder / "layers", self.folder / "root"
        self.mounted, self.nspawn = [], None
        for place in (self.layers, self.root):
            place.mkdir()
        # Whatever file system the temporary folder is on, it need not carry an overlay.
        self.mount("-t", "tmpfs", "-o", "mode=0755", "vardpuls-layers", self.layers)
        for place in ("upper", "work"):
            (self.layers / place).mkdir()
        layers = f"lowerdir={base()},upperdir={self.layers}/upper,workdir={self.layers}/work"
        self.mount("-t", "overlay", "-o", layers, "vardpuls-root", self.root)
        (self.root / "etc/hostname").write_text(name + "\n")

    def mount(self, *arguments):
        run(["mount", *arguments])
        self.mounted.append(arguments[-1])

    def boot(self):
        command = ["systemd-nspawn", "-q", "-D", self.root, "--register=no", "--keep-unit", "--private-network"]
        command += ["--boot", f"--machine={self.name}"]
        with (self.folder / "console").open("wb") as console:
            self.nspawn = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                start_new_session=True,
            )
        wait_for("booted container", self.is_up, 90)

    def is_up(self):
        # nspawn's first child only prepares; the one that stays is the container's first process.
        children = pathlib.Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split()
        if len(children) != 1:
            return False
        self.leader = children[0]
        state = self.ask("systemctl is-system-running").stdout.strip()
        if state in ("degraded", "maintenance"):
            raise AssertionError(f"the container is {state}: " + self.ask("systemctl --failed --no-pager").stdout)
        return state == "running"

    def command(self, script):
        """What runs a script of sh inside, as root in its home, until the first command that fails."""
        settings = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        enter = ["nsenter", "-t", self.leader, "-m", "-u", "-i", "-n", "-p", "-r", "-w"]
        return [*enter, "env", "-i", "-C", "/root", *settings, "sh", "-ec", script]

    def ask(self, script, seconds=120):
        """A script inside to its end, whatever its status."""
        return subprocess.run(
            self.command(script), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
        )

    def sh(self, script, seconds=120):
        """A script inside to its end; both its outputs. A status other than 0 is an error."""
        done = self.ask(script, seconds)
        if done.returncode:
            raise CommandFailed(f"in the container: {script}\nstatus {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    def write(self, path, text, mode=0o644):
        """A file inside."""
        file = self.root / path.lstrip("/")
        file.write_text(text)
        file.chmod(mode)

    def files(self):
        """Every path inside, but for logs, caches, the package manager's own records, and root's home."""
        left_out = ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/cache", "/var/lib/apt",
                    "/var/lib/dpkg", "/root"]
        prune = " -o ".join(f"-path {shlex.quote(path)}" for path in left_out)
        return set(self.sh(f"find / -xdev \\( {prune} \\) -prune -o -print").splitlines())

    def close(self):
        """Ends it, keeps its journal beside it, and lets go of its layers."""
        if self.nspawn is not None and self.nspawn.poll() is None:
            with (self.folder / "journal").open("w") as journal:
                journal.write(self.ask("journalctl --no-pager -o short-precise").stdout)
            self.nspawn.send_signal(signal.SIGTERM)
            try:
                self.nspawn.wait(60)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()
        for place in reversed(self.mounted):
            run(["umount", place])
