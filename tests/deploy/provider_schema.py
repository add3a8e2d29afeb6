"""Writes aws_provider.json: what the AWS provider knows of the kinds of resources that the Terraform modules use.

Its source is the npm package @cdktf/provider-aws, into which HashiCorp has translated the provider's own schema:
`npm pack @cdktf/provider-aws && tar xzf cdktf-provider-aws-*.tgz`, then `python -m tests.deploy.provider_schema package`.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

TERRAFORM = Path(__file__).parents[2] / "deploy" / "aws" / "terraform"
SCHEMA = Path(__file__).with_name("aws_provider.json")

Arguments = dict[str, Any]
"""Names, and of a block its own arguments; of an argument that is none, null."""


def used_kinds() -> list[str]:
    """Return the kinds that the modules and examples use, as `aws_iam_role` and `data.aws_region`."""
    text = "\n".join(path.read_text() for path in TERRAFORM.rglob("*.tf"))
    found = re.findall(r'^(resource|data) "(aws_\w+)"', text, re.MULTILINE)
    return sorted({kind if block == "resource" else f"data.{kind}" for block, kind in found})


def kind_of(package: Path, kind: str) -> dict[str, Any]:
    """Return what the provider knows of a kind: arguments, those that it needs, and attributes that can be read."""
    folder = package / "lib" / re.sub(r"^(data-)?aws-", r"\1aws-" if kind.startswith("data.") else "", dashed(kind))
    code, types = (folder / "index.js").read_text(), (folder / "index.d.ts").read_text()
    arguments = arguments_of(code, re.search(r"synthesizeAttributes\(\) \{\s+return \{(.*?)\};", code, re.DOTALL))
    config = re.search(r"interface \w+Config extends [\w.]+ \{(.*?)^\}", types, re.DOTALL | re.MULTILINE)
    needed = re.findall(r"readonly (\w+):", config[1]) if config else []
    read = re.findall(r"this\.get\w+Attribute\('(\w+)'\)", code)
    return {"arguments": arguments, "needed": sorted(map(snake, needed)), "attributes": sorted({*read, *arguments})}


def arguments_of(code: str, body: re.Match[str] | None) -> Arguments:
    """Return the arguments that a function gives to Terraform, with those of their blocks."""
    given = re.findall(r"^ +(\w+): (.*)$", body[1] if body else "", re.MULTILINE)
    return {name: block_of(code, how) for name, how in given}


def block_of(code: str, how: str) -> Arguments | None:
    """Return the arguments of a block by the function that translates it; None for a plain value."""
    function = re.search(r"(?<!cdktf\.)\b([a-z]\w+)ToTerraform\b", how)
    if function is None or f"function {function[1]}ToTerraform" not in code:
        return None
    found = rf"function {function[1]}ToTerraform\(struct\) \{{.*?    return \{{(.*?)\}};"
    return arguments_of(code, re.search(found, code, re.DOTALL))


def dashed(kind: str) -> str:
    """Return the package's name of a kind."""
    return kind.replace(".", "-").replace("_", "-")


def snake(name: str) -> str:
    """Return Terraform's spelling of a name of TypeScript."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def main(package: Path) -> None:
    """Write the schema anew."""
    version = re.search(r"hashicorp/aws provider version ([\d.]+)", (package / "README.md").read_text())
    kinds = {kind: kind_of(package, kind) for kind in used_kinds()}
    SCHEMA.write_text(json.dumps({"version": version and version[1], "kinds": kinds}, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
