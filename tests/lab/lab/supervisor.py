"""The process that owns a running lab: its machines, their network, and the only way to talk to them.

Clients connect to a unix socket in the state directory and send one line of JSON, {"op": ..., ...}. The answer is
one line too. After `run` the connection carries the frames of that one command (see frames.py), so any number of
commands, of any number of clients, run at once. The supervisor ends, and everything with it, when told to, when its
owner (a test, by process id) is gone, or by SIGTERM.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import checkout, frames, kernel, rundir
from .errors import LabError
from .machine import MTU, Machine, MachineConfig, mac_address
from .paths import CHECKOUT, LAB_SOURCE

READ_SIZE = 1 << 18
CONSOLE_TAIL_LINES = 15
TAP_DEVICE = "lab"

Json = dict[str, Any]


@dataclass(frozen=True)
class LabConfig:
    directory: str
    nodes: int
    memory_mib: int
    owner: int | None  # the process whose end is ours; None: runs until told to stop


class Agent:
    """The supervisor's end of one machine's agent, from power-on to power-off."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self.settled = asyncio.Event()  # ready, or gone
        self.last_number = 0
        self.clients: dict[int, asyncio.StreamWriter] = {}
        self.programs = checkout.programs()

    async def pump(self) -> None:
        """Carries the answers to the clients until the machine is off."""
        decoder = frames.Decoder()
        try:
            while data := await self.reader.read(READ_SIZE):
                for number, kind, payload in decoder.feed(data):
                    self._answer(number, kind, payload)
        except ConnectionError:
            pass
        self.ready.clear()
        self.gone.set()
        self.settled.set()
        self.writer.close()
        for client in self.clients.values():
            client.close()
        self.clients.clear()

    def _answer(self, number: int, kind: int, payload: bytes) -> None:
        if kind == frames.READY:
            self.ready.set()
            self.settled.set()
        elif number in self.clients:
            self.clients[number].write(frames.encode(0, kind, payload))
            if kind == frames.EXIT:
                self.clients.pop(number).close()

    def refresh(self) -> None:
        """Has the machine see the checkout's programs as they are now."""
        current = checkout.programs()
        if current != self.programs:
            self.programs = current
            self.writer.write(frames.encode(0, frames.REFRESH, os.fsencode(CHECKOUT)))

    async def serve_command(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """Carries one command's frames to the machine; kills the command when its client goes away."""
        self.last_number += 1
        number = self.last_number
        self.clients[number] = answers
        decoder = frames.Decoder()
        try:
            while data := await client.read(READ_SIZE):
                for _, kind, payload in decoder.feed(data):
                    self.writer.write(frames.encode(number, kind, payload))
        finally:
            if self.clients.pop(number, None) is not None:
                self.writer.write(frames.encode(number, frames.SIGNAL, bytes([signal.SIGKILL])))


class Supervisor:
    def __init__(self, config: LabConfig) -> None:
        self.directory = Path(config.directory)
        self.owner = config.owner
        self.machines: dict[str, Machine] = {}
        parts = kernel.prepare()
        for number in range(1, config.nodes + 1):
            machine = Machine(MachineConfig(number, config.nodes, config.memory_mib, parts, self.directory))
            self.machines[machine.name] = machine
        self.switch, self.switch_process = start_switch()
        self.agents: dict[str, Agent] = {}
        self.plugged: dict[str, int] = {}  # what is on the network and no machine of ours: its number
        self.cuts: set[tuple[str, str, int]] = set()  # as the switch's
        self.delay = 0.0
        self.keep = False
        self.stopping = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.operations: dict[str, Callable[..., Awaitable[Json]]] = {
            "status": self.status,
            "power-on": self.power_on,
            "power-off": self.power_off,
            "pause": self.pause,
            "resume": self.resume,
            "wait-ready": self.wait_ready,
            "cut": self.cut,
            "heal": self.heal,
            "delay": self.set_delay,
            "plug": self.plug,
            "stop": self.stop,
        }

    async def run(self, started: Callable[[], None]) -> None:
        """Boots the machines, calls `started` once clients can connect, and serves them until it is to stop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stopping.set)
        loop.add_signal_handler(signal.SIGINT, self.stopping.set)
        if self.owner is not None:
            loop.add_reader(os.pidfd_open(self.owner), self.stopping.set)
        # Relative, because the path of a unix socket may have 107 characters only.
        server = await asyncio.start_unix_server(self._serve, rundir.CONTROL_SOCKET, limit=READ_SIZE)
        try:
            for name, machine in self.machines.items():
                machine.create_disks()
                await self.power_on(name)
            started()
            await self.stopping.wait()
        finally:
            server.close()
            for machine in self.machines.values():
                machine.power_off()
            self.switch.close()
            self.switch_process.wait()
            if self.keep:
                (self.directory / rundir.KEPT).touch()
            else:
                shutil.rmtree(self.directory)

    def _order_switch(self, order: Json, cables: list[int]) -> Json:
        """Returns when the switch has obeyed, so that a cut link is cut once `cut` returns."""
        socket.send_fds(self.switch, [json.dumps(order).encode()], cables)
        answer: Json = json.loads(self.switch.recv(READ_SIZE))
        return answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            operation = request.pop("op")
            try:
                if operation == "run":
                    agent = await self._ready_agent(request["node"])
                    _reply(writer, {})
                    agent.refresh()
                    await agent.serve_command(reader, writer)
                else:
                    _reply(writer, await self.operations[operation](**request))
            except LabError as error:
                _reply(writer, {"error": str(error)})
            await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the client went away
        finally:
            writer.close()

    def _machine(self, name: str) -> Machine:
        if name not in self.machines:
            raise LabError(f"no node {name}: there are {', '.join(self.machines)}")
        return self.machines[name]

    async def _ready_agent(self, name: str) -> Agent:
        self._machine(name)
        agent = self.agents.get(name)
        if agent is not None:
            await agent.settled.wait()
        if agent is None or not agent.ready.is_set():
            raise LabError(f"{name} is off")
        return agent

    async def status(self) -> Json:
        counters = self._order_switch({}, [])
        nodes = [
            {"name": name, "state": self._state(machine), "pid": machine.process.pid if machine.process else None}
            for name, machine in self.machines.items()
        ]
        return {
            "directory": str(self.directory),
            "pid": os.getpid(),
            "switch_pid": self.switch_process.pid,
            "nodes": nodes,
            "cuts": sorted({(a, b) for a, b, _ in self.cuts}),
            "delay": self.delay,
            "packets": counters,
        }

    def _state(self, machine: Machine) -> str:
        if machine.process is None:
            return "off"
        if machine.paused:
            return "paused"
        return "ready" if self.agents[machine.name].ready.is_set() else "booting"

    async def power_on(self, node: str) -> Json:
        machine = self._machine(node)
        if machine.process is not None:
            raise LabError(f"{node} is on already")
        ours, agent_end = socket.socketpair()
        switch_end, cable_end = socket.socketpair()
        with agent_end, cable_end, switch_end:
            self._order_switch({"plug": machine.config.number}, [switch_end.fileno()])
            machine.power_on(agent_end, cable_end)
        agent = Agent(*await asyncio.open_connection(sock=ours))
        self.agents[node] = agent
        self._background(self._follow(machine, agent))
        return {}

    def _background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self.tasks.discard)

    async def _follow(self, machine: Machine, agent: Agent) -> None:
        """The agent's channel closes when qemu ends: by power_off, or by the guest itself."""
        await agent.pump()
        if self.agents[machine.name] is agent:
            machine.power_off()

    async def power_off(self, node: str) -> Json:
        machine = self._machine(node)
        if machine.process is not None:
            machine.power_off()
            await self.agents[node].gone.wait()
        return {}

    async def pause(self, node: str) -> Json:
        self._machine(node).pause()
        return {}

    async def resume(self, node: str) -> Json:
        self._machine(node).resume()
        return {}

    async def wait_ready(self, node: str, timeout: float) -> Json:
        try:
            await asyncio.wait_for(self._ready_agent(node), timeout)
        except (asyncio.TimeoutError, LabError) as error:
            reason = str(error) or f"{node} is not ready after {timeout} s"
            raise LabError(f"{reason}; end of its console:\n{_tail(self._machine(node).console)}") from error
        return {}

    async def plug(self, name: str, number: int, namespace: str, addresses: list[str]) -> Json:
        """Puts a network namespace of this host on the network. It ends with the switch."""
        if name in self._numbers() or number in self._numbers().values():
            raise LabError(f"there is a {name}, or number {number}, already")
        ours, theirs = socket.socketpair()
        with ours, theirs:
            words = [str(theirs.fileno()), TAP_DEVICE, mac_address(number), str(MTU), *addresses]
            relay = await asyncio.create_subprocess_exec(
                "nsenter", f"--net={namespace}", sys.executable, "-B", "-m", "lab.tap", *words, cwd=LAB_SOURCE,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()])  # fmt: skip
            assert relay.stdout is not None
            if await relay.stdout.readline() != b"up\n":
                raise LabError(f"{name} cannot be plugged in: see {rundir.LOG}")
            self._order_switch({"plug": number}, [ours.fileno()])
        self.plugged[name] = number
        return {}

    def _numbers(self) -> dict[str, int]:
        return {**{name: machine.config.number for name, machine in self.machines.items()}, **self.plugged}

    def _check_plugged(self, name: str) -> None:
        if name not in self._numbers():
            raise LabError(f"no node {name}: there are {', '.join(self._numbers())}")

    async def cut(self, a: str, b: str | None = None, one_way: bool = False, port: int = 0) -> Json:
        self._check_plugged(a)
        for other in [b] if b is not None else [name for name in self._numbers() if name != a]:
            self._check_plugged(other)
            self.cuts.add((a, other, port))
            if not one_way:
                self.cuts.add((other, a, port))
        return self._update_network()

    async def heal(self, a: str | None = None, b: str | None = None) -> Json:
        """Heals the link of a and b, all links of a, or all."""
        for node in [a, b]:
            if node is not None:
                self._check_plugged(node)
        self.cuts = {cut for cut in self.cuts if not {a, b} - {None} <= set(cut)}
        return self._update_network()

    async def set_delay(self, seconds: float) -> Json:
        self.delay = seconds
        return self._update_network()

    def _update_network(self) -> Json:
        numbers = self._numbers()
        cuts = [[numbers[a], numbers[b], port] for a, b, port in self.cuts]
        self._order_switch({"cuts": cuts, "delay": self.delay}, [])
        return {}

    async def stop(self, keep: bool) -> Json:
        self.keep = keep
        self.stopping.set()
        return {"pid": os.getpid()}


def start_switch() -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """The control socket and the process. It ends when the socket is closed, so also when we are killed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "lab.switch", str(theirs.fileno())]
    with theirs:
        return ours, subprocess.Popen(command, cwd=LAB_SOURCE, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])


def _reply(writer: asyncio.StreamWriter, answer: Json) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")


def _tail(console: Path) -> str:
    lines = console.read_text(errors="replace").splitlines() if console.exists() else []
    return "\n".join(lines[-CONSOLE_TAIL_LINES:])


def main() -> None:
    """Reads its LabConfig from the command line; tells its parent by one line on stdout how starting it went."""
    config = LabConfig(**json.loads(sys.argv[1]))

    def report(answer: Json) -> None:
        print(json.dumps(answer), flush=True)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    try:
        rundir.sweep()
        lock = rundir.claim(Path(config.directory))  # held until this process ends
        os.chdir(config.directory)
        log = os.open(rundir.LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.dup2(log, sys.stderr.fileno())
        asyncio.run(Supervisor(config).run(started=lambda: report({})))
        os.close(lock)
    except LabError as error:
        report({"error": str(error)})
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        report({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


if __name__ == "__main__":
    main()
