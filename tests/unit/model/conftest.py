"""Property tests that pass on a busy machine: examples have no deadline of their own, the whole test has pytest's."""

from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
