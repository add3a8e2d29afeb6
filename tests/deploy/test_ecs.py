"""The service on ECS: requests that AWS's model takes, the same as Terraform makes, and commands that do what they should."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from exporter.configuration.load import load
from tests.conftest import Start, eventually

ROOT = Path(__file__).parents[2]
ECS = ROOT / "deploy" / "aws" / "ecs"
TERRAFORM = ROOT / "deploy" / "aws" / "terraform"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OPERATIONS = {"task-definition": "RegisterTaskDefinition", "service": "CreateService"}

Request = dict[str, Any]


def request(name: str) -> Request:
    """Return what is asked of ECS."""
    read: Request = json.loads((ECS / f"{name}.json").read_text())
    return read


def container(name: str) -> Request:
    """Return a container of the task."""
    return next(each for each in request("task-definition")["containerDefinitions"] if each["name"] == name)


@pytest.mark.parametrize(("name", "operation"), OPERATIONS.items())
def test_the_model_of_the_api_takes_it(name: str, operation: str) -> None:
    """The model of ECS in botocore knows each member, has its type, and misses none that is needed."""
    model = botocore.session.get_session().get_service_model("ecs").operation_model(operation)
    assert model.input_shape is not None
    validate_parameters(request(name), model.input_shape)


def test_never_two_at_once() -> None:
    """The old task goes before the new one comes, for the request as for Terraform: two would count everything twice."""
    service = request("service")
    assert service["desiredCount"] == 1
    assert service["deploymentConfiguration"]["minimumHealthyPercent"] == 0
    assert service["deploymentConfiguration"]["maximumPercent"] == 100
    assert service["availabilityZoneRebalancing"] == "DISABLED"  # else it starts the new one first
    terraform = re.sub(r" +", " ", (TERRAFORM / "modules" / "ecs" / "main.tf").read_text())
    for line in (
        "desired_count = 1",
        "deployment_minimum_healthy_percent = 0",
        "deployment_maximum_percent = 100",
        'availability_zone_rebalancing = "DISABLED"',
    ):
        assert f"\n {line}\n" in terraform


def test_containers_fit_the_image() -> None:
    """User, port, configuration, state and Python are where the image has them."""
    exporter = container("exporter")
    mounts = {mount["sourceVolume"]: mount["containerPath"] for mount in exporter["mountPoints"]}
    assert f"USER {exporter['user']}\n" in DOCKERFILE
    assert f"EXPOSE {exporter['portMappings'][0]['containerPort']}\n" in DOCKERFILE
    assert f"--config.file={mounts['configuration']}/config.yaml" in DOCKERFILE
    assert f"VOLUME {mounts['state']}\n" in DOCKERFILE
    assert exporter["healthCheck"]["command"][1].startswith("/opt/exporter/bin/")
    assert "/opt/exporter" in DOCKERFILE
    volumes = {volume["name"] for volume in request("task-definition")["volumes"]}
    assert set(mounts) == volumes


def test_nothing_is_writable_but_the_state() -> None:
    """Both containers have no capabilities and a read-only file system; the exporter writes to its state alone."""
    for each in request("task-definition")["containerDefinitions"]:
        assert each["readonlyRootFilesystem"] is True
        assert each["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
    assert [mount["sourceVolume"] for mount in container("exporter")["mountPoints"] if not mount["readOnly"]] == [
        "state"
    ]


def test_the_configuration_is_written(tmp_path: Path) -> None:
    """The first container's command writes its variable to the file as it is, quotes, percent signs and all."""
    first = container("configuration")
    (folder,) = (mount["containerPath"] for mount in first["mountPoints"])
    command = [first["command"][0].replace(folder, str(tmp_path))]
    (variable,) = (secret["name"] for secret in first["secrets"])
    text = "users: {filters: ['username ^= \"svc-\"', '100 %s \\n $HOME']}\n"
    subprocess.run([*first["entryPoint"], *command], env={variable: text}, check=True, timeout=10)
    assert (tmp_path / "config.yaml").read_text() == text


def test_the_health_check_tells(start: Start) -> None:
    """The container's command is good while the exporter is healthy, and bad when nobody answers."""
    exporter = start("demo", "--users=2")
    kind, _, *arguments = container("exporter")["healthCheck"]["command"]
    command = [sys.executable, *(each.replace("10078", str(exporter.port)) for each in arguments)]
    assert kind == "CMD"
    eventually(lambda: exporter.get("/-/healthy").status_code == 200, "the exporter")
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    exporter.end()
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode != 0


def test_the_examples_configuration_is_good() -> None:
    """The configuration of Terraform's example passes, and its state is on the volume."""
    state = load(TERRAFORM / "examples" / "ecs" / "config.yaml").state.path
    assert [mount["containerPath"] for mount in container("exporter")["mountPoints"]][1] == str(Path(state).parent)
