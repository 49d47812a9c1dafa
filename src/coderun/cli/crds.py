"""`coderun crds`: the custom resource definitions for a cluster."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from coderun.cli.terminal import safe, say


class Form(StrEnum):
    """Forms of the definitions."""

    YAML = "yaml"
    JSON = "json"


def command(
    folder: Annotated[Path | None, typer.Option("--dir", help="Write one file a kind into this folder.", metavar="DIR")] = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="Form of the output: yaml or json.")] = Form.YAML,
) -> None:
    """Print the custom resource definitions (CodeRun, Play, DocsRun, Delivery), made from what this version reads and writes.

    Examples:
        coderun crds | kubectl apply --server-side -f -
        coderun crds -o json
        coderun crds --dir crds
    """
    import msgspec

    from coderun.kube.crd import definitions
    from coderun.model.errors import ConfigError
    from coderun.model.yaml import dump

    made = definitions()
    if folder is None:
        listed = {"apiVersion": "v1", "kind": "List", "items": made}
        whole = msgspec.json.format(msgspec.json.encode(listed), indent=2).decode()
        say("---\n".join(dump(one) for one in made).removesuffix("\n") if output is Form.YAML else whole)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in made:
            path = folder / f"{one['metadata']['name']}.{output.value}"
            json = msgspec.json.format(msgspec.json.encode(one), indent=2).decode() + "\n"
            path.write_text(dump(one) if output is Form.YAML else json, encoding="utf-8")
            say(f"Wrote {safe(path)}")
    except OSError as error:
        raise ConfigError(
            f"cannot write into {folder}: {error.strerror}; name a folder that may be written with --dir"
        ) from error
