"""`python -m exporter`: the same as `cognito-auth-exporter`."""

from exporter.cli import main

if __name__ == "__main__":
    main()
