"""A controller without a forge as a process of its own, so that it can be killed and put to sleep: for `test_controller`."""

import asyncio
import sys
from pathlib import Path

from tests.integration.app.hostings import TestHostings

from coderun.app.cluster import ClusterController
from coderun.app.configuration import read_cluster_configuration
from coderun.app.local import now
from coderun.app.logs import log_to_stdout
from coderun.app.metrics import Metrics
from coderun.kube.api import Api
from coderun.kube.client import KubeClient, Target
from coderun.kube.lease import LeaseTimings


async def main(kubeconfig: str, config: str, identity: str) -> None:
    log_to_stdout("info")
    client = await KubeClient.connect(Target(kubeconfig=kubeconfig), environ={})
    controller = ClusterController(
        Api(client),
        configuration=read_cluster_configuration(Path(config), None),
        hostings=TestHostings(),
        namespaces=(client.namespace,),
        lease_namespace=client.namespace,
        identity=identity,
        clock=now,
        metrics=Metrics(),
        lease=LeaseTimings(duration=10, deadline=2.5, pause=0.5),
    )
    await controller.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
