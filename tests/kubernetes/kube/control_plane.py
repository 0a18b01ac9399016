"""etcd, API server, scheduler and controller-manager on machines."""

from pathlib import Path

from lab import LabError, wait_until

from .certificates import Authority
from .machine import Machine

ETCD = "http://127.0.0.1:2379"
SERVICES = "10.97.0.0/24"
# The API server's, as pods are told. There is no kube-proxy, so it is reached there without one.
FIRST_SERVICE = "10.97.0.1"
PORT = 443
_START_SECONDS = 120


class ControlPlane:
    """On a machine that is no node. The controller-manager can run on a node, where it finds drivers."""

    def __init__(self, machine: Machine, address: str, programs: Path, nodes: list[str]) -> None:
        self._machine = machine
        self._address = address
        self._programs = programs
        self.files = machine.folder / "certificates"
        self.server = f"https://{address}:{PORT}"
        self._make_certificates(nodes)

    def _make_certificates(self, nodes: list[str]) -> None:
        authority = Authority(self._machine.see(self.files))
        addresses = f"IP:{self._address},IP:{FIRST_SERVICE},DNS:kubernetes.default.svc"
        authority.make("apiserver", "kube-apiserver", addresses=addresses)
        authority.make("apiserver-client", "kube-apiserver", "system:masters")
        authority.make("accounts", "service-accounts")
        authority.make_kubeconfig("admin", "admin", "system:masters", self.server)
        for name in ("controller-manager", "scheduler"):
            authority.make_kubeconfig(name, f"system:kube-{name}", "", self.server)
        for node in nodes:
            authority.make_kubeconfig(node, f"system:node:{node}", "system:nodes", self.server)

    def start(self) -> None:
        self.start_api()
        self._machine.start("scheduler", [
            self._programs / "kube-scheduler",
            f"--kubeconfig={self.files}/scheduler.kubeconfig",
            "--leader-elect=false",
        ])  # fmt: skip

    def start_api(self) -> None:
        """etcd and the API server alone."""
        self._start_etcd()
        self.start_apiserver()

    def _start_etcd(self) -> None:
        self._machine.start("etcd", [
            "/usr/bin/etcd",
            f"--data-dir={self._machine.folder}/etcd",
            f"--listen-client-urls={ETCD}",
            f"--advertise-client-urls={ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--log-level=warn",
        ])  # fmt: skip

    def start_apiserver(self) -> None:
        files = self.files
        self._machine.start("apiserver", [
            self._programs / "kube-apiserver",
            f"--advertise-address={self._address}",
            "--bind-address=0.0.0.0",
            f"--secure-port={PORT}",
            f"--etcd-servers={ETCD}",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--client-ca-file={files}/ca.crt",
            f"--tls-cert-file={files}/apiserver.crt",
            f"--tls-private-key-file={files}/apiserver.key",
            f"--kubelet-client-certificate={files}/apiserver-client.crt",
            f"--kubelet-client-key={files}/apiserver-client.key",
            "--kubelet-preferred-address-types=InternalIP",  # nobody knows the nodes' names
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={files}/accounts.crt",
            f"--service-account-signing-key-file={files}/accounts.key",
        ])  # fmt: skip
        wait_until(self._is_ready, _START_SECONDS, "the API server is ready")

    def _is_ready(self) -> bool:
        if not self._machine.is_running("apiserver"):
            raise LabError(f"the API server has ended: {self._machine.logs()['apiserver'][-2000:]}")
        return self._machine.ask(*self.kubectl("get", "--raw", "/readyz")).returncode == 0

    def kubectl(self, *words: str) -> list[str | Path]:
        return [self._programs / "kubectl", f"--kubeconfig={self.files}/admin.kubeconfig", *words]

    def start_controller_manager(self, machine: Machine, *options: str) -> None:
        files = self.files
        machine.start("controller-manager", [
            self._programs / "kube-controller-manager",
            f"--kubeconfig={files}/controller-manager.kubeconfig",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--root-ca-file={files}/ca.crt",
            f"--service-account-private-key-file={files}/accounts.key",
            *options,
        ])  # fmt: skip
