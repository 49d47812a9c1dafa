"""Volumes of a pod as folders: what is mounted where, and how a path in a container is one of this machine.

ConfigMaps and Secrets are laid out as a kubelet does it, through the link `..data`, which changes at once when they do.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.fakes.kubelet.trouble import NotThereError

Json = dict[str, Any]


class Reader(Protocol):
    """Reads ConfigMaps and Secrets of the pod's namespace."""

    async def read(self, kind: str, name: str) -> Json | None:
        """The object; None where there is none."""
        ...


class Volumes:
    """The volumes of one pod below `folder`; volume claims are folders of `claims`, which outlive pods."""

    def __init__(self, pod: Json, *, folder: Path, claims: Path) -> None:
        self._pod = pod
        self._folder = folder
        self._claims = claims
        self._paths: dict[str, Path] = {}
        self._round = 0

    async def lay_out(self, reader: Reader) -> None:
        """Make all of them, or bring ConfigMaps and Secrets up to date. Raises `NotThereError`."""
        for volume in self._pod["spec"].get("volumes", ()):
            name = volume["name"]
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                if await reader.read("persistentvolumeclaims", claim) is None:
                    raise NotThereError("FailedMount", f'persistentvolumeclaim "{claim}" not found')
                path = self._claims / claim
            else:
                path = self._folder / name
            path.mkdir(parents=True, exist_ok=True)
            self._paths[name] = path
            if (files := await _content(volume, reader)) is not None:
                self._put(path, files)

    def _put(self, path: Path, files: Mapping[str, bytes]) -> None:
        data = path / "..data"
        if data.is_symlink() and {one.name: one.read_bytes() for one in data.iterdir()} == dict(files):
            return
        self._round += 1
        fresh = path / f"..{self._round}"
        fresh.mkdir()
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        swap = path / "..new"
        swap.symlink_to(fresh.name)
        swap.rename(data)
        for name in files:
            link = path / name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / name)

    def translate(self, text: str, container: Json) -> str:
        """`text` with the container's mount paths at its beginning turned into folders of this machine."""
        mounts = sorted(container.get("volumeMounts", ()), key=lambda mount: -len(mount["mountPath"]))
        for mount in mounts:
            inside = mount["mountPath"].rstrip("/")
            if text == inside or text.startswith(f"{inside}/"):
                return str(self._paths[mount["name"]]) + text[len(inside) :]
        return text


async def _content(volume: Json, reader: Reader) -> dict[str, bytes] | None:
    """The files of a volume that has any of its own."""
    if "configMap" in volume:
        return await _of_config_map(volume["configMap"]["name"], volume["name"], reader)
    if "secret" in volume:
        name = volume["secret"]["secretName"]
        found = await reader.read("secrets", name)
        if found is None:
            raise NotThereError(
                "FailedMount", f'MountVolume.SetUp failed for volume "{volume["name"]}": secret "{name}" not found'
            )
        return {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}
    if "projected" in volume:
        files: dict[str, bytes] = {}
        for source in volume["projected"]["sources"]:
            files.update(await _of_config_map(source["configMap"]["name"], volume["name"], reader))
        return files
    return None


async def _of_config_map(name: str, volume: str, reader: Reader) -> dict[str, bytes]:
    found = await reader.read("configmaps", name)
    if found is None:
        raise NotThereError("FailedMount", f'MountVolume.SetUp failed for volume "{volume}": configmap "{name}" not found')
    plain = {key: value.encode() for key, value in found.get("data", {}).items()}
    return plain | {key: base64.b64decode(value) for key, value in found.get("binaryData", {}).items()}
