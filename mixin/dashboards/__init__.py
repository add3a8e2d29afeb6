"""Three Grafana dashboards as code: what happens, what is wrong, and whether the numbers can be trusted."""
