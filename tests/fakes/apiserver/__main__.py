"""A fake API server to try things against: `python -m tests.fakes.apiserver [--port N] [--kubeconfig FILE] [MANIFEST…]`."""

import argparse
import asyncio
import gc
import signal
from pathlib import Path

from tests.fakes.apiserver import FakeApiServer


async def main(port: int, kubeconfig: Path | None, manifests: list[Path]) -> None:
    """Serves until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FakeApiServer(port=port) as api:
        for manifest in manifests:
            api.install(manifest)
        if kubeconfig is not None:
            api.kubeconfig(kubeconfig)
            print(f"kubeconfig  {kubeconfig}")
        # What is kept here lives long: looking through it again and again would be half of the work.
        gc.freeze()
        gc.set_threshold(200_000, 20, 100)
        print(f"token       {api.admin_token}")
        print(f"server      {api.url}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.apiserver", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--kubeconfig", type=Path, help="write a kubeconfig there")
    parser.add_argument("manifests", nargs="*", type=Path, help="YAML files to create first, e.g. CRDs")
    chosen = parser.parse_args()
    asyncio.run(main(chosen.port, chosen.kubeconfig, chosen.manifests))
