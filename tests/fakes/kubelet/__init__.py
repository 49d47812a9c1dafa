"""A kubelet whose containers are processes of this machine, and a small Job controller: whole runs on an API server alone."""

from tests.fakes.kubelet.jobs import JobController
from tests.fakes.kubelet.kubelet import ProcessKubelet

__all__ = ["JobController", "ProcessKubelet"]
