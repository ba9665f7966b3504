#!/usr/bin/env python3
"""Packs a directory as a one-layer image archive: image.py ROOTFS OUTPUT NAME.

The archive is an OCI image layout and a `docker save` archive at once, so
that podman, docker and containerd each load it.
"""

import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def add(archive, name, data):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    archive.addfile(info, io.BytesIO(data))


def main():
    rootfs, output, name = sys.argv[1:]
    with tempfile.TemporaryFile(dir=os.path.dirname(output) or ".") as layer:
        with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(rootfs, arcname=".", filter=lambda i: None if i.name.startswith("./dev/") else i)
        layer.seek(0)
        digest = hashlib.file_digest(layer, "sha256").hexdigest()
        size = layer.seek(0, os.SEEK_END)
        machine = os.uname().machine
        config = json.dumps({
            "architecture": ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": {"Cmd": ["/bin/bash"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [{"created_by": "debootstrap"}],
        }).encode()
        blob = lambda data: hashlib.sha256(data).hexdigest()
        descriptor = lambda kind, hexdigest, length: {
            "mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{hexdigest}", "size": length}
        manifest = json.dumps({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", blob(config), len(config)),
            "layers": [descriptor("layer.v1.tar", digest, size)],
        }).encode()
        entry = descriptor("manifest.v1+json", blob(manifest), len(manifest))
        entry["annotations"] = {"io.containerd.image.name": f"docker.io/{name}",
                                "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
        index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
        legacy = json.dumps([{"Config": f"blobs/sha256/{blob(config)}", "RepoTags": [name],
                              "Layers": [f"blobs/sha256/{digest}"]}]).encode()
        with tarfile.open(output + ".new", "w") as archive:
            add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
            add(archive, "index.json", index)
            add(archive, "manifest.json", legacy)
            for data in (config, manifest):
                add(archive, f"blobs/sha256/{blob(data)}", data)
            info = tarfile.TarInfo(f"blobs/sha256/{digest}")
            info.size, info.mode = size, 0o644
            layer.seek(0)
            archive.addfile(info, layer)
        os.rename(output + ".new", output)


if __name__ == "__main__":
    main()
