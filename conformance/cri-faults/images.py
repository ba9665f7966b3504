"""A registry on loopback that serves what it is told to, and misbehaves."""

import gzip
import hashlib
import http.server
import io
import json
import os
import re
import tarfile
import threading

PORT = 5000
NAME = f"127.0.0.1:{PORT}/faults/image"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry:
    """`fault` is what happens to the next blobs: None, stall, trickle, close,
    garbage, error; `faults` counts how often it did."""

    def __init__(self, layout):
        self.blobs, self.tags = {}, {}
        self.fault, self.faults, self.gets = None, 0, 0
        self.released = threading.Event()
        blobs = f"{layout}/blobs/sha256"
        for name in os.listdir(blobs):
            with open(f"{blobs}/{name}", "rb") as file:
                self.blobs["sha256:" + name] = file.read()
        with open(f"{layout}/index.json") as file:
            self.base = json.loads(self.blobs[json.load(file)["manifests"][0]["digest"]])
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                try:
                    registry.answer(self)
                except OSError:
                    self.close_connection = True

            do_HEAD = do_GET

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
        self.server.daemon_threads = True
        # Clients are killed, here.
        self.server.handle_error = lambda *_: None
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def misbehave(self, fault):
        """None lets those who are kept waiting go."""
        self.fault, self.faults = fault, 0
        self.released.set()
        self.released = threading.Event()

    def publish(self, tag, size=0, noise=None):
        """An image of busybox and, above it, a file of so many bytes; its name."""
        manifest = json.loads(json.dumps(self.base))
        if size:
            config = json.loads(self.blobs[manifest["config"]["digest"]])
            plain = io.BytesIO()
            with tarfile.open(fileobj=plain, mode="w") as tar:
                entry = tarfile.TarInfo("noise")
                entry.size = size
                tar.addfile(entry, io.BytesIO(noise.randbytes(size)))
            layer = gzip.compress(plain.getvalue(), 1)
            config["rootfs"]["diff_ids"].append(digest(plain.getvalue()))
            config.pop("history", None)
            text = json.dumps(config).encode()
            manifest["layers"].append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                                       "digest": self.keep(layer), "size": len(layer)})
            manifest["config"].update(digest=self.keep(text), size=len(text))
        manifest.setdefault("mediaType", MANIFEST)
        self.tags[tag] = self.keep(json.dumps(manifest).encode())
        return f"{NAME}:{tag}"

    def keep(self, data):
        self.blobs[digest(data)] = data
        return digest(data)

    def answer(self, request):
        path = request.path.partition("?")[0]
        if path.rstrip("/") == "/v2":
            return self.send(request, 200, b"{}", "application/json")
        found = re.fullmatch(r"/v2/faults/image/(manifests|blobs)/(.+)", path)
        data = found and self.blobs.get(self.tags.get(found[2], found[2]))
        if data is None:
            return self.send(request, 404, b"{}", "application/json")
        if found[1] == "manifests":
            return self.send(request, 200, data, MANIFEST, digest(data))
        self.gets += 1
        return self.send(request, 200, data, "application/octet-stream", digest(data), self.fault)

    def send(self, request, status, data, kind, name=None, fault=None):
        if fault:
            self.faults += 1
            if fault == "error":
                status, data = 500, b"{}"
            elif fault == "garbage":
                data = bytes(len(data))
        start = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if start and status == 200 and not fault:
            status, total = 206, len(data)
            data = data[int(start[1]):]
        request.send_response(status)
        if status == 206:
            request.send_header("Content-Range", f"bytes {start[1]}-{total - 1}/{total}")
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(data)))
        if name:
            request.send_header("Docker-Content-Digest", name)
        request.end_headers()
        if request.command == "HEAD":
            return
        if fault in ("stall", "close", "trickle"):
            request.wfile.write(data[:len(data) // 2])
            request.wfile.flush()
            released = self.released
            if fault == "stall":
                released.wait(120)
            elif fault == "trickle":
                for byte in data[len(data) // 2:]:
                    if released.wait(0.2):
                        break
                    request.wfile.write(bytes([byte]))
            request.close_connection = True
            return
        request.wfile.write(data)
