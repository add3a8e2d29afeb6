"""The Terraform modules, which nothing here can plan: they parse, refer to what there is, fit provider and policies."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest

from tests.deploy.provider_schema import SCHEMA, TERRAFORM, Arguments, used_kinds

ROOT = Path(__file__).parents[2]
AWS = ROOT / "deploy" / "aws"
MODULES = [TERRAFORM, TERRAFORM / "modules" / "ecs"]
FOLDERS = [*MODULES, *sorted(path.parent for path in (TERRAFORM / "examples").glob("*/main.tf"))]
PROVIDER = json.loads(SCHEMA.read_text())
OF_EVERY_RESOURCE = {"count", "depends_on", "for_each", "lifecycle", "provider"}
OF_EVERY_CALL = {"count", "depends_on", "for_each", "providers", "source"}

Body = dict[str, Any]


def name_of(folder: Path) -> str:
    """Return what a test calls a folder."""
    return str(folder.relative_to(TERRAFORM.parent))


def plain(value: Any) -> Any:
    """Return what python-hcl2 has read without its quotes and its notes, but for the one that tells a block."""
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if not key.endswith("comments__")}
        return {key.strip('"'): plain(each) for key, each in kept.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.strip('"') if isinstance(value, str) else value


@cache
def blocks(folder: Path, kind: str) -> list[tuple[str, Body]]:
    """Return a module's blocks of a kind by their labels, joined by dots."""
    read = [plain(hcl2.loads(path.read_text())) for path in sorted(folder.glob("*.tf"))]
    return [found for each in read for block in each.get(kind, []) for found in labelled("", block)]


def labelled(labels: str, block: Body) -> Iterator[tuple[str, Body]]:
    """Return the bodies in a block with their labels."""
    if "__is_block__" in block:
        yield labels, {key: value for key, value in block.items() if key != "__is_block__"}
        return
    for label, inner in block.items():
        yield from labelled(f"{labels}.{label}".strip("."), inner)


def source(folder: Path) -> str:
    """Return a module's text without comments."""
    text = "\n".join(path.read_text() for path in sorted(folder.glob("*.tf")))
    return re.sub(r"^\s*#.*| # .*", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_references_lead_somewhere(folder: Path) -> None:
    """Each variable, local, resource, data source and module that a module refers to is one of its own."""
    text = source(folder)
    declared = {
        "var": {label for label, _ in blocks(folder, "variable")},
        "local": {key for _, body in blocks(folder, "locals") for key in body},
        "module": {label for label, _ in blocks(folder, "module")},
    }
    for kind, names in declared.items():
        assert set(re.findall(rf"\b{kind}\.(\w+)", text)) <= names
    resources = {label for label, _ in blocks(folder, "resource")}
    assert set(re.findall(r"(?<![\w.])(aws_\w+\.\w+)", text)) - {"aws.customers"} <= resources
    data = {f"data.{label}" for label, _ in blocks(folder, "data")}
    assert set(re.findall(r"\bdata\.\w+\.\w+", text)) <= data


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_nothing_is_declared_in_vain(folder: Path) -> None:
    """Each variable, local and data source is used; each variable has a type, it and each output a description."""
    text = source(folder)
    for label, body in blocks(folder, "variable"):
        assert {"type", "description"} <= set(body), label
        assert len(re.findall(rf"\bvar\.{label}\b", re.sub(r'variable "\w+" \{.*?\n\}', "", text, flags=re.DOTALL)))
    for label, body in blocks(folder, "output"):
        assert {"value", "description"} == set(body), label
    for key in (key for _, body in blocks(folder, "locals") for key in body):
        assert f"local.{key}" in text
    for label, _ in blocks(folder, "data"):
        assert f"data.{label}." in text


def misfits(body: Body, known: Arguments, place: str) -> list[str]:
    """Return the arguments of a block, and of those in it, that the provider does not know."""
    given = {key: value for key, value in body.items() if key not in OF_EVERY_RESOURCE}
    dynamic = [(key, each["content"]) for each in given.pop("dynamic", []) for key, each in each.items()]
    wrong = []
    for key, value in [*given.items(), *dynamic]:
        inner = (
            [each for each in value if isinstance(each, dict) and "__is_block__" in each]
            if isinstance(value, list)
            else []
        )
        if key not in known or bool(inner) != (known[key] is not None):
            wrong.append(f"{place}.{key}")
        for each in inner:
            wrong += misfits(
                {k: v for k, v in each.items() if k != "__is_block__"}, known.get(key) or {}, f"{place}.{key}"
            )
    return wrong


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_the_provider_knows_the_arguments(folder: Path) -> None:
    """Each argument and block is one that the AWS provider has at that place, and none that it needs is missing."""
    for label, body in blocks(folder, "resource"):
        kind = PROVIDER["kinds"][label.partition(".")[0]]
        assert misfits(body, kind["arguments"], label) == []
        assert set(kind["needed"]) <= set(body), label


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_the_provider_knows_the_attributes(folder: Path) -> None:
    """Each attribute of a resource or data source that is read is one that the AWS provider has."""
    read = re.findall(r"(?<![\w])((?:data\.)?aws_\w+)\.\w+(?:\[\S*?\])?\.(\w+)", source(folder))
    assert read or folder.parent.name == "examples"
    for kind, attribute in read:
        assert attribute in PROVIDER["kinds"][kind]["attributes"], f"{kind}.{attribute}"


def test_the_providers_schema_is_of_what_is_used() -> None:
    """The excerpt of the provider's schema has the kinds that are used, and the README tells its version."""
    assert list(PROVIDER["kinds"]) == used_kinds()
    assert f"provider version {PROVIDER['version']}" in (TERRAFORM / "README.md").read_text()


@pytest.mark.parametrize("folder", FOLDERS[len(MODULES) :], ids=name_of)
def test_examples_call_what_there_is(folder: Path) -> None:
    """An example gives a module the variables that it has, all that it needs, and reads outputs that it has."""
    text = source(folder)
    for label, call in blocks(folder, "module"):
        module = (folder / call["source"]).resolve()
        assert module in MODULES
        variables = dict(blocks(module, "variable"))
        needed = {name for name, body in variables.items() if "default" not in body}
        assert needed <= set(call) - OF_EVERY_CALL <= set(variables)
        assert set(re.findall(rf"\bmodule\.{label}\.(\w+)", text)) <= {name for name, _ in blocks(module, "output")}


def test_the_readme_tells_inputs_and_outputs() -> None:
    """The README's tables have each variable with its default, and each output, of the module."""
    readme = (TERRAFORM / "README.md").read_text()
    told = re.findall(r"^\| `(\w+)` \| (\S+) \|", readme, re.MULTILINE)
    assert {name for name, _ in told} == {label for label, _ in blocks(TERRAFORM, "variable")}
    for label, _ in blocks(TERRAFORM, "output"):
        assert f"`{label}`" in readme


# -- what the templates make -------------------------------------------------------------------------------------------

EXAMPLE = {
    "account": "444455556666",
    "partition": "aws",
    "region": "eu-west-1",
    "oidc_provider": "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE",
    "cluster_name": "production",
    "namespace": "monitoring",
    "service_account": "cognito-auth-exporter",
    "principal_arn": "arn:aws:iam::444455556666:role/cognito-auth-exporter",
    "external_id": "a-word-agreed-upon",
    "parameter_arn": "arn:aws:ssm:eu-west-1:444455556666:parameter/cognito-auth-exporter/config.yaml",
    "log_group_arn": "arn:aws:logs:eu-west-1:444455556666:log-group:/cognito-auth-exporter",
    "task_role_arn": "arn:aws:iam::444455556666:role/cognito-auth-exporter",
    "file_system_arn": "arn:aws:elasticfilesystem:eu-west-1:444455556666:file-system/fs-0123456789abcdef0",
    "access_point_arn": "arn:aws:elasticfilesystem:eu-west-1:444455556666:access-point/fsap-0123456789abcdef0",
    "image": "ghcr.io/cognito-auth-exporter/cognito-auth-exporter:0.1.0",
    "configuration_version": "1",
    "log_group": "/cognito-auth-exporter",
}
TRUST = {path.name.removesuffix(".json.tftpl"): path for path in (TERRAFORM / "trust").iterdir()}
ECS = TERRAFORM / "modules" / "ecs"


def placeholders(template: Path) -> set[str]:
    """Return what a template has to be given; it has no other of Terraform's sequences."""
    text = template.read_text()
    assert "%{" not in text
    found = set(re.findall(r"\$\{(\w+)\}", text))
    assert text.count("${") == len(re.findall(r"\$\{\w+\}", text))
    return found


def rendered(template: Path, values: Mapping[str, str]) -> Any:
    """Return the JSON that a template makes of values."""
    return json.loads(re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], template.read_text()))


@pytest.mark.parametrize("kind", TRUST)
def test_trust_is_that_of_the_files(kind: str) -> None:
    """The trust policy that the module makes for a kind is the file of deploy/aws/iam, with that file's names."""
    written = json.loads((AWS / "iam" / f"trust-{kind.replace('_', '-')}.json").read_text())
    assert rendered(TRUST[kind], EXAMPLE) == written


def test_trust_gets_what_it_takes() -> None:
    """There is a template for each kind of trust, and it takes what that kind has, or what the module knows of the place."""
    kinds = dict(
        re.findall(
            r"^    (\w+) = optional\(object\(\{(.*?)\}\)\)$",
            (TERRAFORM / "variables.tf").read_text(),
            re.MULTILINE | re.DOTALL,
        )
    )
    assert set(kinds) == set(TRUST)
    (here,) = (body["here"] for _, body in blocks(TERRAFORM, "locals"))
    for kind, fields in kinds.items():
        assert (
            set(re.findall(r"(\w+) +=", fields))
            <= placeholders(TRUST[kind])
            <= {*here, *re.findall(r"(\w+) +=", fields)}
        )


@pytest.mark.parametrize("name", ["execution", "file-system"])
def test_policies_of_ecs_are_those_of_the_files(name: str) -> None:
    """The policies that the service on ECS takes beside the role's are the files of deploy/aws/iam."""
    written = json.loads((AWS / "iam" / f"{name}.json").read_text())
    assert rendered(ECS / "policies" / f"{name}.json.tftpl", EXAMPLE) == written


def test_containers_are_those_of_the_task_definition() -> None:
    """The containers that the module makes are those of deploy/aws/ecs/task-definition.json."""
    written = json.loads((AWS / "ecs" / "task-definition.json").read_text())
    assert rendered(ECS / "containers.json.tftpl", EXAMPLE) == written["containerDefinitions"]


@pytest.mark.parametrize("folder", MODULES, ids=name_of)
def test_files_that_are_read_exist(folder: Path) -> None:
    """Each file that a module reads by its name is there, and each template gets all that it takes and nothing else."""
    text = source(folder)
    for path in re.findall(r'(?:file|templatefile)\(\s*"\$\{path\.module\}/([^"$]+)"', text):
        assert (folder / path).exists(), path
    called = re.findall(
        r'templatefile\(\s*"\$\{path\.module\}/(policies[^"$]+|containers[^"$]+)", \{(.*?)\}\)', text, re.DOTALL
    )
    assert len(called) == len([*folder.glob("*.tftpl"), *folder.glob("policies/*.tftpl")])
    for path, given in called:
        assert set(re.findall(r"(\w+) += ", given)) == placeholders(folder / path)


def test_what_may_be_allowed_has_its_file() -> None:
    """Each word of `also_allow` is a policy of deploy/aws/iam, and each policy for reading has its word."""
    text = source(TERRAFORM)
    (words,) = re.findall(r"setsubtract\(var\.also_allow, \[(.*?)\]\)", text)
    assert set(re.findall(r"\w+", words)) == {"groups", "listing", "description"}
    for name in [*re.findall(r"\w+", words), "auth-events", "assume-readers"]:
        assert (AWS / "iam" / f"{name}.json").exists()
    assert 'jsondecode(file("${path.module}/../iam/${name}.json"))' in text
