"""The variables of a container, read from where its spec says."""

import base64

from tests.fakes.kubelet.trouble import NotThereError
from tests.fakes.kubelet.volumes import Json, Reader, Volumes


async def variables(container: Json, reader: Reader, volumes: Volumes) -> dict[str, str]:
    """What the container gets; paths below its mounts are those of this machine. Raises `NotThereError`."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        name = source["secretRef"]["name"]
        for key, value in (await _secret(name, reader)).items():
            found[source.get("prefix", "") + key] = value
    for one in container.get("env", ()):
        text = await _value(one, reader)
        if text is not None:
            found[one["name"]] = volumes.translate(text, container)
    return found


async def _value(one: Json, reader: Reader) -> str | None:
    if "valueFrom" not in one:
        return str(one.get("value", ""))
    reference = one["valueFrom"]["secretKeyRef"]
    try:
        return await _key(reference["name"], reference["key"], reader)
    except NotThereError:
        if reference.get("optional"):
            return None
        raise


async def _key(name: str, key: str, reader: Reader) -> str:
    data = await _secret(name, reader)
    if key not in data:
        raise NotThereError("CreateContainerConfigError", f"couldn't find key {key} in Secret {name}")
    return data[key]


async def _secret(name: str, reader: Reader) -> dict[str, str]:
    found = await reader.read("secrets", name)
    if found is None:
        raise NotThereError("CreateContainerConfigError", f'secret "{name}" not found')
    return {key: base64.b64decode(value).decode() for key, value in found.get("data", {}).items()}
