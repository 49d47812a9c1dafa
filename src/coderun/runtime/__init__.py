"""Where a run happens: one protocol, processes now, Kubernetes Jobs later."""
