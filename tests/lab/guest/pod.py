#!/usr/bin/python3
"""Runs the pod of a DaemonSet on this machine as its kubelet and Docker would, with crun: for as long as it runs.

    pod.py MANIFESTS NAME IMAGE NODE ADDRESS

MANIFESTS is a JSON list of what `kubectl apply` is given, IMAGE the folder of the unpacked image. The init containers
run one after the other, each again until it succeeds; then the container, again whenever it ends. While that is ready,
by its readiness probe if it has one, there is a file /run/pods/NAME/ready. SIGTERM ends it.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

PODS = Path("/run/pods")
RETRY_SECONDS = 1.0  # a kubelet begins with 10
PROBE_SECONDS = 1.0  # until it is ready
READY_SECONDS = 10.0  # and then, as a kubelet: under emulation each probe is seconds of work
# Up to 1.19 a kubelet with Docker waits for as long as it takes; what hangs here must not hang the test.
PROBE_LIMIT = 120.0
PROBE_FAILURES = 3  # in a row, and a pod that was ready is so no more: a kubelet's default
CAPABILITIES = Path("/usr/include/linux/capability.h")

Object = dict[str, Any]


def expand(words: list[str], known: dict[str, str]) -> list[str]:
    """$(NAME), as a kubelet does it: what it does not know stays as it is, and $$(NAME) is $(NAME)."""

    def value(found: "re.Match[str]") -> str:
        return found[0][1:] if found[0].startswith("$$") else known.get(found[1], found[0])

    return [re.sub(r"\$?\$\((\w+)\)", value, word) for word in words]


def expand_probe(container: Object) -> list[str]:
    """A probe's command, for which a kubelet makes a variable that comes from a field empty (container/helpers.go)."""
    known = {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}
    return expand(container["readinessProbe"]["exec"]["command"], known)


class Pod:
    def __init__(self, manifests: list[Object], name: str, image: Path, node: str, address: str) -> None:
        self._name = name
        self._image = image
        self._manifests = manifests
        self._fields = {"spec.nodeName": node, "status.podIP": address}
        self._spec = self._find("DaemonSet", name)["spec"]["template"]["spec"]
        self._folder = PODS / name
        self._running = ""
        self._stopping = False
        shutil.rmtree(self._folder / "volumes", ignore_errors=True)
        (self._folder / "ready").unlink(missing_ok=True)
        self._volumes = {volume["name"]: self._volume(volume) for volume in self._spec.get("volumes", [])}

    def _find(self, kind: str, name: str) -> Object:
        return next(one for one in self._manifests if one["kind"] == kind and one["metadata"]["name"] == name)

    def run(self) -> None:
        for container in self._spec.get("initContainers", []):
            while not self._stopping and self._run(container) != 0:
                time.sleep(RETRY_SECONDS)
        (container,) = self._spec["containers"]
        threading.Thread(target=self._watch, args=[container], daemon=True).start()
        while not self._stopping:
            print(f"pod: {container['name']} ended with {self._run(container)}", flush=True)
            time.sleep(RETRY_SECONDS)
        (self._folder / "ready").unlink(missing_ok=True)

    def _watch(self, container: Object) -> None:
        """Whether it is ready, for as long as this process lives."""
        ready = self._folder / "ready"
        failures, asked, known = PROBE_FAILURES, 0.0, ""
        while not self._stopping:
            if failures > 0 or self._running != known or time.monotonic() - asked >= READY_SECONDS:
                known = self._running
                failures = 0 if self._asked_well(container) else failures + 1
                asked = time.monotonic()
            if failures == 0:
                ready.touch()
            elif failures >= PROBE_FAILURES or not self._running:
                ready.unlink(missing_ok=True)
            time.sleep(PROBE_SECONDS)

    def _asked_well(self, container: Object) -> bool:
        running = self._running
        if not running or "readinessProbe" not in container:
            return bool(running)
        command = ["crun", "--cgroup-manager=disabled", "exec", running, *expand_probe(container)]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROBE_LIMIT)
        except subprocess.TimeoutExpired:
            print(f"pod: not ready: no answer within {PROBE_LIMIT} s", flush=True)
            return False
        if done.returncode != 0:
            print(f"pod: not ready: {done.stderr.strip()}", flush=True)
        return done.returncode == 0

    def _volume(self, volume: Object) -> Path:
        if "hostPath" in volume:
            path = Path(volume["hostPath"]["path"])
            if volume["hostPath"].get("type") == "DirectoryOrCreate":
                path.mkdir(mode=0o755, parents=True, exist_ok=True)
            return path
        if "configMap" in volume:
            data = self._find("ConfigMap", volume["configMap"]["name"])["data"]
            files = {name: text.encode() for name, text in data.items()}
        else:
            data = self._find("Secret", volume["secret"]["secretName"])["data"]
            files = {name: base64.b64decode(text) for name, text in data.items()}
        return self._project(volume["name"], files)

    def _project(self, name: str, files: dict[str, bytes]) -> Path:
        """A folder of links, as the kubelet makes it to change all files at once."""
        folder = self._folder / "volumes" / name
        (folder / "..1").mkdir(parents=True)
        (folder / "..data").symlink_to("..1")
        for file, content in files.items():
            (folder / "..1" / file).write_bytes(content)
            (folder / file).symlink_to(f"..data/{file}")
        return folder

    def _run(self, container: Object) -> int:
        """Until it ends; its exit status."""
        identity = f"{self._name}-{container['name']}"
        bundle = self._folder / container["name"]
        layers = [bundle / "upper", bundle / "work", bundle / "rootfs"]
        subprocess.run(["crun", "delete", "--force", identity], stderr=subprocess.DEVNULL)
        clear(bundle)
        for layer in layers:
            layer.mkdir(parents=True)
        overlay = f"lowerdir={self._image},upperdir={layers[0]},workdir={layers[1]}"
        subprocess.run(["mount", "-t", "overlay", "-o", overlay, "overlay", layers[2]], check=True)
        (bundle / "config.json").write_text(json.dumps(self._runtime_config(container)))
        try:
            if self._stopping:
                return 0
            self._running = identity
            command = ["crun", "--cgroup-manager=disabled", "run", f"--bundle={bundle}", identity]
            return subprocess.call(command, stdin=subprocess.DEVNULL)
        finally:
            self._running = ""
            clear(bundle)

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        """SIGTERM for the container, SIGKILL when its time is over; what waits for it then sees its end."""
        self._stopping = True
        signal.signal(signal.SIGALRM, lambda *_: self._kill("KILL"))
        signal.alarm(self._spec["terminationGracePeriodSeconds"])
        self._kill("TERM")

    def _kill(self, name: str) -> None:
        if self._running:
            subprocess.run(["crun", "kill", self._running, name])

    def _runtime_config(self, container: Object) -> Object:
        security = container.get("securityContext", {})
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        for variable in container.get("env", []):
            environment[variable["name"]] = self._fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        command = expand(container["command"], environment)
        own = [{"type": "mount"}]
        own += [{"type": kind} for kind, host in (("network", "hostNetwork"), ("pid", "hostPID"), ("ipc", "hostIPC"))
                if not self._spec.get(host)]
        granted = capabilities() if security.get("privileged") else DOCKERS
        sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
        return {
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": command,
                        "env": [f"{name}={value}" for name, value in environment.items()],
                        "capabilities": {kind: granted for kind in sets}},
            "root": {"path": "rootfs"},
            "mounts": [*usual_mounts(writable_sys=bool(security.get("privileged"))), *self._mounts(container)],
            "linux": {"namespaces": own},
        }

    def _mounts(self, container: Object) -> list[Object]:
        """Deep ones last; private, as Kubernetes mounts unless it is told otherwise."""
        mounts = sorted(container.get("volumeMounts", []), key=lambda mount: mount["mountPath"].count("/"))
        return [{"destination": mount["mountPath"], "source": str(self._volumes[mount["name"]]), "type": "bind",
                 "options": ["rbind", PROPAGATION[mount.get("mountPropagation", "None")],
                             "ro" if mount.get("readOnly") else "rw"]} for mount in mounts]


PROPAGATION = {"None": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}
DOCKERS = [f"CAP_{name}" for name in (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL"
    " AUDIT_WRITE").split()]


def capabilities() -> list[str]:
    """All that this kernel has and crun knows."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    names = re.findall(r"^#define (CAP_\w+)\s+(\d+)$", CAPABILITIES.read_text(), re.MULTILINE)
    return [name for name, number in names if int(number) <= last]


def usual_mounts(*, writable_sys: bool) -> list[Object]:
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/sys", "type": "bind", "source": "/sys",
         "options": ["rbind", "rprivate", "rw" if writable_sys else "ro"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"]},
    ]


def clear(bundle: Path) -> None:
    """Takes a container's folders away, also what a killed pod.py left; never what is mounted there."""
    while subprocess.run(["umount", bundle / "rootfs"], stderr=subprocess.DEVNULL).returncode == 0:
        pass
    if bundle.exists():
        (bundle / "rootfs").rmdir()
        shutil.rmtree(bundle)


def mount_cgroups() -> None:
    """crun wants to see them, although nothing is limited here."""
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        # Two pods may come here at once; then the second one's mount is refused.
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"], stderr=subprocess.DEVNULL)


def main() -> None:
    mount_cgroups()
    manifests, name, image, node, address = sys.argv[1:]
    pod = Pod(json.loads(Path(manifests).read_text()), name, Path(image), node, address)
    signal.signal(signal.SIGTERM, pod.stop)
    pod.run()


if __name__ == "__main__":
    os.umask(0o022)
    main()
