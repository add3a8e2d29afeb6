"""`python -m exporter.configuration.schema`: the JSON Schema of the configuration, made from the models, for editors."""

import json
import sys

from exporter.configuration.models import Config


def json_schema() -> str:
    """Return the schema as it is checked in."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    schema["title"] = "cognito-auth-exporter configuration"
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(json_schema())
