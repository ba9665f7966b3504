"""The streaming server: broken requests and frames, those who never finish what
they say, addresses that are used twice."""

import base64
import os
import re
import socket
import struct
import time

from contract import Failed
from fuzz import Watch, speak
from machine import processes, wait_for
from pods import Pod

UPGRADES = {
    "spdy": "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n",
    "forward": "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n",
    "websocket": "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                 "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n",
    "tunnel": "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
              "Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n",
}


def upgrade(path, kind):
    key = base64.b64encode(os.urandom(16)).decode()
    verb = "GET" if "websocket" in UPGRADES[kind] else "POST"
    return (f"{verb} {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            + UPGRADES[kind].format(key=key) + "\r\n").encode()


class Streams:
    def __init__(self, machine, pod):
        self.machine, self.container, self.pod = machine, pod.containers["main"], pod.id

    def address(self, call, **more):
        """(host, port) and path of a new one-time address."""
        requests = {
            "Exec": {"container_id": self.container, "cmd": ["/bin/busybox", "cat"], "stdin": True, "stdout": True,
                     "stderr": True, **more},
            "Attach": {"container_id": self.container, "stdout": True, "stderr": True, **more},
            "PortForward": {"pod_sandbox_id": self.pod, "port": [80], **more},
        }
        url = self.machine.cri(call, requests[call]).url
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/.*)", url)
        return ("127.0.0.1", int(found[1])), found[2]

    def runs(self):
        """Whether a program runs, by WebSocket, and says what it is to say."""
        where, path = self.address("Exec", cmd=["/bin/busybox", "echo", "earnest"], stdin=False)
        answer = speak(where, upgrade(path, "websocket"), 20)
        return b" 101 " in answer and b"earnest\n" in answer and b"Success" in answer, answer

    def status(self, where, data):
        answer = speak(where, data, 5)
        return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def websocket_frames(random):
    def one():
        payload = random.randbytes(random.choice([0, 1, 5, 125, 300]))
        opcode = random.choice([0, 1, 2, 2, 2, 3, 8, 9, 10, 15])
        final, reserved, masked = random.random() < 0.7, random.random() < 0.1, random.random() < 0.9
        length = random.choice([len(payload)] * 6 + [1 << 20, 1 << 40, (1 << 63) + 5, 0])
        first = bytes([final << 7 | (0x40 if reserved else 0) | opcode])
        if length < 126:
            size = bytes([masked << 7 | length])
        elif length < 1 << 16:
            size = bytes([masked << 7 | 126]) + struct.pack(">H", length)
        else:
            size = bytes([masked << 7 | 127]) + struct.pack(">Q", length)
        return first + size + (bytes(4) if masked else b"") + payload
    return b"".join(one() for _ in range(random.randrange(1, 12)))


def spdy_frames(random):
    def one():
        payload = random.randbytes(random.choice([0, 4, 8, 10, 40]))
        length = random.choice([len(payload)] * 5 + [0, 0xffffff])
        if random.random() < 0.3:
            start = struct.pack(">I", random.randrange(8))
        else:
            version = random.choice([3, 3, 3, 2, 0, 0x7fff])
            start = struct.pack(">HH", 0x8000 | version, random.choice([1, 2, 3, 4, 6, 7, 8, 9, 11, 99]))
            if random.random() < 0.4:
                payload = struct.pack(">II", random.randrange(10), random.choice([0, 1, 2**31, 2**32 - 1])) + payload
                length = len(payload)
        return start + bytes([random.choice([0, 1, 2, 255])]) + struct.pack(">I", length)[1:] + payload
    return b"".join(one() for _ in range(random.randrange(1, 12)))


def broken_request(random, path):
    return random.choice([
        lambda: random.randbytes(300),
        lambda: f"POST {path}".encode(),
        lambda: f"POST {path} HTTP/9.9\r\n\r\n".encode(),
        lambda: f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode() + b"A: " + b"b" * 200_000,
        lambda: f"POST {path} HTTP/1.1\r\n".encode() + b"A: b\r\n" * 3000 + b"\r\n",
        lambda: b"\0" * 2000 + b"\r\n\r\n",
        lambda: f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n".encode(),
        lambda: f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n".encode(),
        lambda: f"POST /{'x' * 100_000} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        lambda: f"GET {path}/../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    ])()


def deserted(machine, pod):
    """An ExecSync whose client goes, or whose time is over, takes with it what it
    runs: here a process whose parent has ended, and one without streams."""
    command = ["/bin/busybox", "sh", "-c", "(/bin/busybox sleep 4242 & exec /bin/busybox true); "
               "exec /bin/busybox sleep 4242 >/dev/null 2>/dev/null"]
    request = {"container_id": pod.containers["main"], "cmd": command}

    def sleeping():
        return [line for line in processes().values() if line == "/bin/busybox sleep 4242"]

    call = machine.cri.begin("ExecSync", request)
    machine.check("an ExecSync runs", wait_for(lambda: len(sleeping()) == 2, 30), sleeping())
    call.cancel()
    machine.check("what it ran ends with its client", wait_for(lambda: not sleeping(), 30), sleeping())
    try:
        machine.cri("ExecSync", {**request, "timeout": 1})
        machine.check("its time-out is told", False)
    except Failed as error:
        machine.check("its time-out is told", error.code == "DEADLINE_EXCEEDED", error)
    machine.check("what it ran ends with its time", not sleeping(), sleeping())


def streams(machine, random, rounds):
    count = 100 * rounds
    pod = Pod(machine).run()
    pod.begin()
    server = Streams(machine, pod)
    good, answer = server.runs()
    machine.check("a program runs by WebSocket", good, answer)
    deserted(machine, pod)

    def programs():
        return [line for line in processes().values() if line.endswith("busybox cat")]

    wait_for(lambda: not programs())
    before, memory, watch = machine.descriptors(), machine.memory(), Watch()
    # Those who say a little now and then, and never all of it.
    slow = []
    for number in range(60):
        where, path = server.address("Exec")
        one = socket.create_connection(where)
        one.sendall(upgrade(path, "spdy")[:20 + number])
        slow.append(one)
    for number in range(count):
        call = random.choice(["Exec", "Exec", "Attach", "PortForward"])
        where, path = server.address(call)
        kind = random.choice(["forward", "tunnel"] if call == "PortForward" else ["spdy", "websocket"])
        chance = random.random()
        if chance < 0.2:
            data = broken_request(random, path)
        else:
            made = spdy_frames if kind in ("spdy", "forward") else websocket_frames
            data = upgrade(path, kind) + (made(random) if chance < 0.9 else random.randbytes(500))
        speak(where, data, 0.02)
        for one in slow:
            if random.random() < 0.02:
                try:
                    one.sendall(b"x")
                except OSError:
                    pass
        if number % 20 == 19:
            # A pod takes so many at once, and then says so.
            wait_for(lambda: len(programs()) < 50, 60)
        if number % 50 == 49:
            good, answer = server.runs()
            machine.check("a program runs meanwhile", good, answer)
    for kind, call in (("spdy", "Exec"), ("websocket", "Attach"), ("forward", "PortForward")):
        where, path = server.address(call)
        machine.check(f"{call}: an address works", server.status(where, upgrade(path, kind)) == 101)
        machine.check(f"{call}: and works once", server.status(where, upgrade(path, kind)) == 404)
    where, path = server.address("Exec")
    forged = path[:-4] + ("AAAA" if path[-4:] != "AAAA" else "BBBB")
    machine.check("an address that was made up does not work", server.status(where, upgrade(forged, "spdy")) == 404)
    for one in slow:
        one.close()
    slowest = watch.end(machine, "streams by chance")

    machine.check("programs whose clients have gone end", wait_for(lambda: not programs(), 60), programs())
    machine.check("no connection stays", wait_for(lambda: machine.descriptors() <= before + 1, 60),
                  f"{machine.descriptors()} descriptors, {before} before")
    grown = machine.memory() - memory
    machine.check("memory is bounded", grown < 64, f"{grown:.1f} MiB more than {memory:.1f}")
    began = time.monotonic()
    try:
        pod.remove()
    except Failed as error:
        machine.check("the pod goes", False, error)
    machine.check("at once", time.monotonic() - began < 60)
    return f"{count} connections; the slowest earnest call {slowest:.2f} s; memory {grown:+.1f} MiB"
