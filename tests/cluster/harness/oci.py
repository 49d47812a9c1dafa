"""Container images without a container engine: folders packed as layers, in the layout that `ctr images import` reads."""

import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.cluster.harness import cache
from tests.cluster.harness.debian import tool
from tests.cluster.harness.processes import run
from tests.cluster.harness.programs import program

PAUSE_IMAGE = "localhost/pause:test"
BUSYBOX_IMAGE = "localhost/busybox:test"

_FORMAT = 2
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Owner(NamedTuple):
    """Whose files below a path of a layer are."""

    uid: int
    gid: int


def pack_layer(folder: Path, tar: Path, *, below: str = "", owners: Mapping[str, Owner] | None = None) -> None:
    """Pack a folder's content as a layer, to stand at `below` in the image; root's, but for `owners` by path."""
    owned = dict(owners or {})

    def normal(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if entry.isdev() and not entry.isfifo():
            return None
        owner = next(
            (whose for path, whose in owned.items() if entry.name == path or entry.name.startswith(f"{path}/")), Owner(0, 0)
        )
        entry.uid, entry.gid = owner
        entry.uname = entry.gname = ""
        entry.mtime = 0
        return entry

    with tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as layer:
        for path in sorted(folder.iterdir()):
            layer.add(path, arcname=f"{below}/{path.name}".lstrip("/"), filter=normal)


def pack_image(tar: Path, name: str, layers: Sequence[Path], **config: Any) -> None:
    """Pack layers as an image with a full name; `config` as in the OCI specification (`Entrypoint`, `User`, `Env`, …)."""
    environment = [f"PATH={_PATH}", *config.pop("Env", [])]
    described = [_described(layer) for layer in layers]
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": environment, **config},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in described]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, configuration),
            "layers": described,
        }
    ).encode()
    annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = {"schemaVersion": 2, "manifests": [{**_descriptor(_MANIFEST, manifest), "annotations": annotations}]}
    with tarfile.open(tar, "w") as image:
        _put(image, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        for layer, description in zip(layers, described, strict=True):
            image.add(layer, arcname=_blob(description["digest"]))
        for blob in (configuration, manifest):
            _put(image, _blob(_digest(blob)), blob)
        _put(image, "index.json", json.dumps(index).encode())


def pause_image() -> Path:
    """The image that holds a pod's namespaces."""
    pause = program("pause")

    def make(part: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            shutil.copy(pause, Path(scratch, "pause"))
            _pack_single(part, PAUSE_IMAGE, Path(scratch), Entrypoint=["/pause"], User="65535:65535")

    return cache.keep(pause.parent / f"pause-{_FORMAT}.tar", make)


def busybox_image() -> Path:
    """A small image with a shell, for pods that stand for any pod."""
    busybox = tool("busybox")

    def make(part: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            programs = Path(scratch, "root", "bin")
            programs.mkdir(parents=True)
            shutil.copy(busybox, programs / "busybox")
            for applet in run(busybox, "--list").split():
                if applet != "busybox":
                    (programs / applet).symlink_to("busybox")
            _pack_single(part, BUSYBOX_IMAGE, programs.parent, Cmd=["/bin/sh"], User="1000:1000")

    return cache.keep(cache.root() / f"image-busybox-{cache.digest(busybox)}-{_FORMAT}.tar", make)


def _pack_single(tar: Path, name: str, folder: Path, **config: Any) -> None:
    layer = folder.parent / f"{folder.name}.layer"
    try:
        pack_layer(folder, layer)
        pack_image(tar, name, [layer], **config)
    finally:
        layer.unlink(missing_ok=True)


def _described(layer: Path) -> dict[str, Any]:
    with layer.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": layer.stat().st_size}


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _put(image: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    image.addfile(entry, io.BytesIO(content))
