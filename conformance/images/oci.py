#!/usr/bin/env python3
"""Makes OCI image layouts out of directories.

oci.py layer DIRECTORY OUT [--compression gzip|zstd|none] [--level N]
    packs a directory, or the upper directory of an overlay, as one layer: the
    blob OUT and what there is to say about it, OUT.json
oci.py image LAYOUT --layer OUT... [--config JSON]
    writes an image layout directory of one image, `latest` in the layout and
    localhost/<name of the directory>:latest elsewhere; the layers are hard links
"""

import argparse
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zlib

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MEDIA = "application/vnd.oci.image."
SUFFIX = {"gzip": "+gzip", "zstd": "+zstd", "none": ""}


class Sink:
    """Takes a tar stream: hashes it, compresses it, hashes the result."""

    def __init__(self, path, compression, level):
        self.plain, self.packed, self.size = hashlib.sha256(), hashlib.sha256(), 0
        self.out = open(path, "w+b")
        self.deflate = self.child = None
        if compression == "gzip":
            self.deflate = zlib.compressobj(level, zlib.DEFLATED, 31)
        elif compression == "zstd":
            self.child = subprocess.Popen(
                ["zstd", "-q", f"-{min(level, 19)}"], stdin=subprocess.PIPE, stdout=self.out)

    def write(self, data):
        self.plain.update(data)
        if self.child:
            self.child.stdin.write(data)
        else:
            self._put(self.deflate.compress(data) if self.deflate else data)
        return len(data)

    def _put(self, data):
        self.packed.update(data)
        self.size += len(data)
        self.out.write(data)

    def close(self):
        if self.deflate:
            self._put(self.deflate.flush())
        if self.child:
            self.child.stdin.close()
            if self.child.wait():
                sys.exit("oci.py: zstd failed")
            self.out.seek(0)
            self.packed = hashlib.file_digest(self.out, "sha256")
            self.size = self.out.seek(0, os.SEEK_END)
        self.out.close()


def xattrs(path):
    """Extended attributes, except those of overlayfs."""
    names = os.listxattr(path, follow_symlinks=False)
    return {n: os.getxattr(path, n, follow_symlinks=False) for n in names
            if not n.startswith("trusted.overlay.")}


def opaque(path):
    try:
        return os.getxattr(path, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def whiteout(name):
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    return info


def pack(root, sink):
    tar = tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20)
    for here, directories, files in os.walk(root):
        directories.sort()
        relative = os.path.relpath(here, root)
        prefix = "" if relative == "." else relative + "/"
        if opaque(here):
            tar.addfile(whiteout(f"{prefix}.wh..wh..opq"))
        for name in sorted(directories + files):
            path = os.path.join(here, name)
            status = os.lstat(path)
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                tar.addfile(whiteout(f"{prefix}.wh.{name}"))
                continue
            info = tar.gettarinfo(path, arcname=prefix + name)
            if info is None:  # a socket
                continue
            for key, value in xattrs(path).items():
                info.pax_headers[f"SCHILY.xattr.{key}"] = value.decode("utf-8", "surrogateescape")
            if info.isreg():
                with open(path, "rb") as content:
                    tar.addfile(info, content)
            else:
                tar.addfile(info)
    tar.close()


def layer(options):
    sink = Sink(options.out + ".new", options.compression, options.level)
    pack(options.directory, sink)
    sink.close()
    with open(options.out + ".json", "w") as about:
        json.dump({
            "mediaType": f"{MEDIA}layer.v1.tar{SUFFIX[options.compression]}",
            "digest": f"sha256:{sink.packed.hexdigest()}",
            "size": sink.size,
            "diff_id": f"sha256:{sink.plain.hexdigest()}",
        }, about)
    os.rename(options.out + ".new", options.out)


def image(options):
    staging = options.layout + ".new"
    shutil.rmtree(staging, ignore_errors=True)
    blobs = f"{staging}/blobs/sha256"
    os.makedirs(blobs)

    def put(name, data):
        with open(f"{staging}/{name}", "wb") as out:
            out.write(data)

    def blob(kind, data):
        digest = hashlib.sha256(data).hexdigest()
        put(f"blobs/sha256/{digest}", data)
        return {"mediaType": MEDIA + kind, "digest": f"sha256:{digest}", "size": len(data)}

    about = [json.load(open(path + ".json")) for path in options.layer]
    for path, one in zip(options.layer, about):
        os.link(path, f"{blobs}/{one['digest'].removeprefix('sha256:')}")
    machine = os.uname().machine
    config = {"Env": [PATH], "Cmd": ["/bin/sh"], **json.loads(options.config)}
    config = blob("config.v1+json", json.dumps({
        "created": "2024-01-01T00:00:00Z",
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [one.pop("diff_id") for one in about]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": os.path.basename(path)}
                    for path in options.layer],
    }).encode())
    manifest = blob("manifest.v1+json", json.dumps({
        "schemaVersion": 2, "mediaType": MEDIA + "manifest.v1+json",
        "config": config, "layers": about}).encode())
    manifest["annotations"] = {
        "org.opencontainers.image.ref.name": "latest",
        "io.containerd.image.name": f"localhost/{os.path.basename(options.layout)}:latest"}
    put("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    put("index.json", json.dumps({
        "schemaVersion": 2, "mediaType": MEDIA + "index.v1+json", "manifests": [manifest]}).encode())
    shutil.rmtree(options.layout, ignore_errors=True)
    os.rename(staging, options.layout)


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("layer")
    one.add_argument("directory")
    one.add_argument("out")
    one.add_argument("--compression", choices=SUFFIX, default="gzip")
    one.add_argument("--level", type=int, default=6)
    one.set_defaults(run=layer)
    whole = commands.add_parser("image")
    whole.add_argument("layout")
    whole.add_argument("--layer", action="append", required=True)
    whole.add_argument("--config", default="{}")
    whole.set_defaults(run=image)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
