"""What is served, and to whom: the metrics, the exporter's health, the status page; a server that bounds clients."""
