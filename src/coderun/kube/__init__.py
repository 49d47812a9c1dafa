"""How do we speak to Kubernetes? Client, list-watch caches, Lease, CRDs, manifests. Knows no play and no run."""
