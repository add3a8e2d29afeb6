"""What makes and tries the files of `monitoring/`: dashboards as code, and rules whose time passes faster."""
