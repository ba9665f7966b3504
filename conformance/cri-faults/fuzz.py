"""Requests made by chance, by the shape of the contract and against it, and bytes
that are no requests at all, while others ask in earnest."""

import os
import socket
import struct
import threading
import time

from contract import METHODS, Client, Failed, message
from google.protobuf import symbol_database
from google.protobuf.descriptor import FieldDescriptor as Field
from machine import SOCKET, wait_for
from pods import IMAGE, Pod, sweep

# How long an earnest call may take beside all this, on a busy machine.
SOON = 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Maker:
    """Messages by chance."""

    def __init__(self, machine, random):
        self.random, self.ids, self.bases = random, [], {}
        outside = f"{machine.state}/outside"
        self.texts = ["", "a", "x" * 300, "é" * 40, "\0", "a\0b", "..", "../../../..", "/", "/etc/passwd", "-", "--help",
                      "/proc/self/fd/3", "/proc/self/exe", f"{outside}/x", f"{outside}/../outside/y", "native", "other",
                      "runc", "kata", IMAGE, "127.0.0.1:1/none", "sleep", "/bin/busybox", "net.ipv4.ip_forward",
                      "kernel.shmmax", "../escape", "%s%n", "\n", "\u202e", "runtime/default", "localhost/x", "1",
                      "SIGKILL", "0-1", "/dev/null", "a=b", "10.0.0.0/8", "{}", "rw", "sha256:" + "0" * 64]

    def text(self):
        if self.ids and self.random.random() < 0.4:
            one = self.random.choice(self.ids)
            return one if self.random.random() < 0.8 else one[:self.random.randrange(64)]
        if self.random.random() < 0.002:
            return "y" * self.random.choice([1 << 16, 1 << 20])
        return self.random.choice(self.texts)

    def number(self, bits, signed):
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        chosen = self.random.choice([0, 1, 2, 3, 100, 1000, 65536, -1, -2, low, high, high - 1,
                                     self.random.randrange(low, high)])
        return min(max(chosen, low), high)

    def value(self, field, depth):
        kind = field.type
        if kind == Field.TYPE_MESSAGE:
            return self.message(field.message_type, depth + 1)
        if kind == Field.TYPE_STRING:
            return self.text()
        if kind == Field.TYPE_BYTES:
            return self.text().encode()
        if kind == Field.TYPE_BOOL:
            return self.random.random() < 0.5
        if kind == Field.TYPE_ENUM:
            return self.random.choice([one.number for one in field.enum_type.values] + [77])
        if kind in (Field.TYPE_DOUBLE, Field.TYPE_FLOAT):
            return self.random.choice([0.0, -1.0, 1e300, float("nan"), float("inf")])
        bits = 32 if kind in (Field.TYPE_INT32, Field.TYPE_UINT32) else 64
        return self.number(bits, kind not in (Field.TYPE_UINT32, Field.TYPE_UINT64))

    def message(self, descriptor, depth=0):
        made = symbol_database.Default().GetPrototype(descriptor)()
        for field in descriptor.fields:
            if self.random.random() < (0.8 if depth == 0 else 0.35):
                self.fill(made, field, depth)
        return made

    def fill(self, made, field, depth):
        """Gives a field of a message a value, or several."""
        target = getattr(made, field.name)
        if field.label != Field.LABEL_REPEATED:
            if field.type == Field.TYPE_MESSAGE:
                target.CopyFrom(self.value(field, depth))
            else:
                setattr(made, field.name, self.value(field, depth))
            return
        for _ in range(self.random.choice([1, 1, 2, 3, 40 if depth > 3 else 3])):
            if field.message_type and field.message_type.GetOptions().map_entry:
                names = field.message_type.fields_by_name
                key, value = self.value(names["key"], depth), names["value"]
                if value.type == Field.TYPE_MESSAGE:
                    target[key].CopyFrom(self.value(value, depth))
                else:
                    target[key] = self.value(value, depth)
            elif field.type == Field.TYPE_MESSAGE:
                target.add().CopyFrom(self.value(field, depth))
            else:
                target.append(self.value(field, depth))

    def bend(self, base):
        """A good message with a field or two that are not."""
        made = type(base)()
        made.CopyFrom(base)
        for _ in range(self.random.choice([1, 1, 2])):
            node, depth = made, 0
            while True:
                depth += 1
                field = self.random.choice(node.DESCRIPTOR.fields)
                inner = field.type == Field.TYPE_MESSAGE and field.label != Field.LABEL_REPEATED
                if not inner or depth > 3 or self.random.random() < 0.15:
                    break
                node = getattr(node, field.name)
            self.fill(node, field, depth + 2)
        return made.SerializeToString()

    def request(self, method):
        if method in self.bases and self.random.random() < 0.8:
            return self.bend(self.bases[method])
        body = self.message(METHODS[method][1].input_type).SerializeToString()
        chance = self.random.random()
        if chance < 0.6:
            return body
        if chance < 0.7:
            return self.random.randbytes(self.random.randrange(200))
        body = bytearray(body or b"\n\0")
        for _ in range(self.random.randrange(1, 5)):
            at = self.random.randrange(len(body))
            what = self.random.randrange(4)
            if what == 0:
                body[at] = self.random.randrange(256)
            elif what == 1:
                del body[at:]
                body = body or bytearray(b"\n")
            elif what == 2:
                body[at:at] = self.random.randbytes(3)
            else:
                # A field that nobody knows.
                body += bytes([0xfa, 0x7f, 3]) + b"xyz"
        return bytes(body)


class Watch(threading.Thread):
    """Asks in earnest, all the time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.over, self.asked, self.slowest, self.failed = False, 0, 0, []
        self.client = Client(SOCKET)
        self.start()

    def run(self):
        while not self.over:
            began = time.monotonic()
            try:
                self.client(("Version", "ListPodSandbox", "ListContainers")[self.asked % 3], {}, SOON)
            except Failed as error:
                self.failed.append(str(error))
                time.sleep(0.2)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.asked += 1
            time.sleep(0.05)

    def end(self, machine, what):
        self.over = True
        self.join()
        self.client.close()
        machine.check(f"{what}: earnest calls are answered meanwhile", not self.failed and self.asked,
                      "\n".join(self.failed[:3]))
        return self.slowest


def frame(kind, flags, stream, payload, length=None):
    return struct.pack(">I", len(payload) if length is None else length)[1:] + bytes([kind, flags]) + \
        struct.pack(">I", stream) + payload


def head(path):
    """A block of headers, nothing compressed."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
              ("content-type", "application/grpc"), ("te", "trailers")]
    return b"".join(bytes([0, len(n)]) + n.encode() + bytes([len(v)]) + v.encode() for n, v in fields)


def connection(random):
    """What a client sends that has gone mad."""
    path = random.choice([name for name, _ in METHODS.values()])
    data = random.choice([
        b"\0\0\0\0\0", b"\1\0\0\0\4abcd", b"\7\0\0\0\0", b"\0\xff\xff\xff\xff", b"\0\0\0\0\x09abc", b"", b"\0" * 70,
        b"\0\x7f\xff\xff\xff" + bytes(1000), random.randbytes(60)])
    good = PREFACE + frame(4, 0, 0, b"")
    mad = [
        frame(0, random.choice([0, 1, 8, 9]), random.choice([0, 1, 2, 99]), random.randbytes(random.randrange(50))),
        frame(1, random.randrange(256), random.randrange(5), random.randbytes(random.randrange(80))),
        frame(9, 0, 1, random.randbytes(20)), frame(2, 0, 1, b"\x80\0\0\1\7"), frame(3, 0, 1, struct.pack(">I", 8)),
        frame(4, 0, 0, struct.pack(">HI", random.randrange(9), random.choice([0, 1, 2**31, 2**32 - 1]))),
        frame(5, 4, 1, bytes(8)), frame(6, 0, 0, random.randbytes(random.choice([7, 8, 9]))), frame(7, 0, 0, bytes(8)),
        frame(8, 0, random.choice([0, 1]), struct.pack(">I", random.choice([0, 1, 2**31 - 1]))),
        frame(random.randrange(256), random.randrange(256), 1, random.randbytes(30)),
        frame(0, 0, 1, b"", 0xffffff), b"\xff" * 9,
    ]
    call = frame(1, 4, 1, head(path)) + frame(0, 1, 1, data)
    return random.choice([
        lambda: random.randbytes(random.randrange(1, 400)),
        lambda: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda: PREFACE[:random.randrange(24)],
        lambda: good + call,
        lambda: good + call[:random.randrange(len(call))],
        lambda: good + frame(1, 4, 1, head(path)) + b"".join(random.choices(mad, k=4)),
        lambda: good + b"".join(random.choices(mad, k=random.randrange(1, 9))),
        # Streams begun and taken back, over and over.
        lambda: good + b"".join(frame(1, 4, n, head(path)) + frame(3, 0, n, struct.pack(">I", 8)) for n in range(1, 99, 2)),
        lambda: good + frame(1, 0, 1, head(path)) + b"".join(frame(9, 0, 1, b"") for _ in range(60)),
    ])()


def speak(address, data, patience=0.2):
    """Sends, and reads what comes for a little while."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as one:
        one.settimeout(5)
        answer = b""
        try:
            one.connect(address)
            one.sendall(data)
            one.settimeout(patience)
            while len(answer) < 1 << 16 and (piece := one.recv(1 << 14)):
                answer += piece
        except OSError:
            pass
        return answer


def calm(machine):
    """All that was begun has ended."""
    machine.check("what was begun comes to its end", wait_for(lambda: not machine.running(), 180), machine.running())


def fuzz(machine, random, rounds):
    count = 2000 if rounds == 1 else 5000 * rounds
    memory = machine.memory()
    watch = Watch()
    maker, codes, turn = Maker(machine, random), {}, threading.Lock()
    # A long wait for a container's end is no hang.
    methods = [name for name in METHODS if name != "GetContainerEvents"] + ["RunPodSandbox", "CreateContainer"] * 3
    victims = []

    def renew():
        """There is always something to hit."""
        sweep(machine)
        # Somebody may have removed it.
        machine.cri("PullImage", {"image": {"image": IMAGE}})
        victims[:] = [Pod(machine, host_network=bool(n)).run() for n in range(2)]
        for method, fields in (("RunPodSandbox", Pod(machine, host_network=True).run_request()),
                               ("CreateContainer", victims[0].create_request("bent"))):
            maker.bases[method] = message(METHODS[method][1].input_type, fields)
        maker.ids[:] = [pod.id for pod in victims] + [pod.begin() for pod in victims]

    def worker(jobs):
        client = Client(SOCKET)
        for method, body in jobs:
            try:
                client.raw(method, body, 5)
                code = "OK"
            except Failed as error:
                code = error.code
            with turn:
                codes[code] = codes.get(code, 0) + 1
        client.close()

    renew()
    batch = 500 if rounds == 1 else 2000
    for _ in range(0, count, batch):
        jobs = []
        for _ in range(batch):
            method = random.choice(methods)
            jobs.append((method, maker.request(method)))
        workers = [threading.Thread(target=worker, args=(jobs[n::4],)) for n in range(4)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
        if not machine.check("the daemon lives", machine.alive()):
            return "it died"
        renew()
    slowest = watch.end(machine, "requests by chance")
    calm(machine)
    machine.check("requests by chance are answered", codes.get("DEADLINE_EXCEEDED", 0) <= count // 20, codes)
    machine.check("none gets an answer of a broken server", not codes.get("INTERNAL", 0) > count // 2
                  and codes.get("UNAVAILABLE", 0) <= count // 100, codes)
    sweep(machine)
    for image in machine.cri("ListImages").images:
        if IMAGE not in image.repo_tags:
            machine.cri("RemoveImage", {"image": {"image": image.id}})
    if not machine.cri("ImageStatus", {"image": {"image": IMAGE}}).image.id:
        machine.cri("PullImage", {"image": {"image": IMAGE}})
    machine.prune()
    machine.drop_parents()
    machine.check("nothing was made outside of its directories", not os.listdir(f"{machine.state}/outside"),
                  os.listdir(f"{machine.state}/outside"))
    grown = machine.memory() - memory
    machine.check("memory is bounded", grown < 64, f"{grown:.1f} MiB more than {memory:.1f}")
    return f"{sum(codes.values())} requests, {codes}; the slowest earnest call {slowest:.2f} s; memory {grown:+.1f} MiB"


def frames(machine, random, rounds):
    count = 200 * rounds
    before, watch = machine.descriptors(), Watch()
    quiet = []
    for number in range(40):
        # Those who say a little and then nothing.
        one = socket.socket(socket.AF_UNIX)
        one.connect(SOCKET)
        one.sendall(PREFACE[:random.randrange(25)] if number % 2 else PREFACE + frame(4, 0, 0, b""))
        quiet.append(one)
    for _ in range(count):
        speak(SOCKET, connection(random), 0.02)
    slowest = watch.end(machine, "connections by chance")
    for one in quiet:
        one.close()
    machine.check("no connection stays", wait_for(lambda: machine.descriptors() <= before + 1, 60),
                  f"{machine.descriptors()} descriptors, {before} before")
    calm(machine)
    sweep(machine)
    return f"{count} connections; the slowest earnest call {slowest:.2f} s"
