"""The chart: helm and Kubernetes take what it renders, the exporter its configuration, and what it must not do it refuses."""

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from exporter import __version__
from exporter.configuration.load import load
from exporter.flags import DEFAULT_LISTEN, exporter_parser
from tests.conftest import Start, eventually, need
from tests.deploy.helm_chart import (
    CASES,
    CHART,
    DASHBOARDS,
    GOLDEN,
    ROOT,
    RULES,
    SCHEMA,
    by_kind,
    container,
    golden,
    helm,
    objects,
    template,
    values_schema,
)

OPERATOR = Path(__file__).parent / "operator"
DOCUMENT = (ROOT / "docs" / "kubernetes.md").read_text()
METADATA = yaml.safe_load((CHART / "Chart.yaml").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
OLDEST = METADATA["kubeVersion"].removeprefix(">=").removesuffix("-0")
OF_THE_OPERATOR = {"ServiceMonitor", "PrometheusRule"}
MINIMAL = CASES["minimal"]


def test_versions_are_the_exporters() -> None:
    """Chart and appVersion are the exporter's version, so that the chart of a release names its image."""
    assert (METADATA["version"], METADATA["appVersion"]) == (__version__, __version__)


@pytest.mark.parametrize("case", CASES)
def test_helm_lints(case: str) -> None:
    """Helm's linter has nothing against a case, warnings included."""
    done = helm("lint", "--strict", CASES[case], CHART)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    """What a case renders is what a person has read; `make chart` writes it anew."""
    assert golden(case) == (GOLDEN / f"{case}.yaml").read_text()


def test_each_golden_file_has_its_case() -> None:
    """No golden file outlives its case."""
    assert {file.stem for file in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("case", CASES)
def test_kubernetes_takes_it(case: str, version: str) -> None:
    """Each object is valid, and has no unknown field, in the oldest Kubernetes that the chart allows and in the newest."""
    for each in objects(template(CASES[case], f"--kube-version={version}")):
        if each["kind"] not in OF_THE_OPERATOR:
            kubernetes_validate.validate(each, version, strict=True)


def operators_complaints(found: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """Hold objects against the operator's types, which know each field, and its validation, which knows patterns."""
    node = need("node", "what the operator's objects are validated by is JavaScript")
    compiler = need(OPERATOR / "node_modules" / ".bin" / "tsc", "`make test` installs it where npm is")
    lines = [f'import type * as types from "{OPERATOR}/types";']
    lines += [f"const object{i}: types.{each['kind']} = {json.dumps(each)};" for i, each in enumerate(found)]
    (folder / "objects.ts").write_text("\n".join(lines))
    (folder / "tsconfig.json").write_text(json.dumps({"extends": f"{OPERATOR}/tsconfig.json", "include": ["*.ts"]}))
    typed = subprocess.run([compiler, "--project", folder], capture_output=True, text=True, check=False)
    program = [node, str(OPERATOR / "validate.js")]
    valid = subprocess.run(program, input=json.dumps(found), capture_output=True, text=True, check=False)
    return f"{typed.stdout}{typed.stderr}{valid.stdout}{valid.stderr}"


def of_the_operator(case: str) -> list[dict[str, Any]]:
    """Return the objects for the Prometheus operator, which each case can have."""
    enabled = ("--set=serviceMonitor.enabled=true", "--set=prometheusRule.enabled=true")
    found = [each for each in objects(template(CASES[case], *enabled)) if each["kind"] in OF_THE_OPERATOR]
    assert {each["kind"] for each in found} == OF_THE_OPERATOR
    return found


def test_the_operator_takes_it(tmp_path: Path) -> None:
    """What is for the Prometheus operator is valid by its own types in each case, and has no unknown field."""
    assert operators_complaints([each for case in CASES for each in of_the_operator(case)], tmp_path) == ""


MISTYPED: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "unknown field": lambda monitor: monitor["spec"]["endpoints"][0].update(timeout="10s"),
    "no field": lambda monitor: monitor["spec"].pop("selector"),
    "pattern": lambda monitor: monitor["spec"]["endpoints"][0].update(interval="30 seconds"),
}


@pytest.mark.parametrize("mistake", MISTYPED)
def test_the_operator_would_complain(mistake: str, tmp_path: Path) -> None:
    """The check against the operator's types can fail."""
    monitor = next(each for each in of_the_operator("minimal") if each["kind"] == "ServiceMonitor")
    MISTYPED[mistake](monitor)
    assert operators_complaints([monitor], tmp_path) != ""


def values_of(case: str) -> dict[str, Any]:
    """Return the values of a case."""
    values: dict[str, Any] = yaml.safe_load(Path(CASES[case].removeprefix("--values=")).read_text())
    return values


def write_configuration(case: str, folder: Path) -> Path:
    """Write what the ConfigMap mounts into a folder, and return the configuration's path."""
    for name, content in by_kind(CASES[case])["ConfigMap"]["data"].items():
        (folder / name).write_text(content)
    return folder / "config.yaml"


@pytest.mark.parametrize("case", CASES)
def test_the_exporter_takes_the_configuration(case: str, tmp_path: Path) -> None:
    """The exporter reads from the ConfigMap exactly what the values say, with the state on the volume."""
    values = values_of(case)
    direct = tmp_path / "direct.yaml"
    direct.write_text(yaml.safe_dump({**values["config"], "state": {"path": "/data/cognito-auth-exporter.db"}}))
    assert load(write_configuration(case, tmp_path)) == load(direct)


@pytest.mark.parametrize("case", CASES)
def test_the_exporter_takes_the_flags(case: str) -> None:
    """The container's flags are the exporter's, and name files where volumes are mounted."""
    exporter = container(CASES[case])
    options = exporter_parser().parse_args(exporter["args"])
    files = filter(None, (options.config_file, options.web_config_file))
    assert {file.parent for file in files} | {Path("/data")} == {
        Path(each["mountPath"]) for each in exporter["volumeMounts"]
    }
    assert options.listen is None


def test_the_container_is_the_images() -> None:
    """User, port, volume and configuration are those that the image has by itself."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    user = by_kind(MINIMAL)["StatefulSet"]["spec"]["template"]["spec"]["securityContext"]
    exporter = container(MINIMAL)
    port = exporter["ports"][0]["containerPort"]
    assert f":{port}" == DEFAULT_LISTEN
    for line in (
        f"USER {user['runAsUser']}:{user['runAsGroup']}",
        f"EXPOSE {port}",
        f"VOLUME {exporter['volumeMounts'][-1]['mountPath']}",
        f"CMD {json.dumps(exporter['args'])}",
    ):
        assert f"{line}\n" in dockerfile


PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def test_probes_ask_what_there_is(start: Start) -> None:
    """Each probe asks a path that a healthy exporter answers with 200."""
    asked = {container(MINIMAL)[probe]["httpGet"]["path"] for probe in PROBES}
    exporter = start("demo", "--users=1")
    eventually(lambda: all(exporter.get(path).status_code == 200 for path in asked), "readiness")


ACTIONS = {
    (): "HTTP",
    ("tls=true",): "HTTPS",
    ("tls=true", "authentication=true"): "TCP",
    ("authentication=true",): "TCP",
}


@pytest.mark.parametrize("web", ACTIONS)
def test_kubelet_can_probe(web: tuple[str, ...]) -> None:
    """Probes speak what the exporter does, and where it asks for what kubelet has not, look whether the port is open."""
    exporter = container(MINIMAL, "--set=web.configFrom[0].secret.name=web", *(f"--set=web.{each}" for each in web))
    for probe in PROBES:
        found = {
            exporter[probe][kind].get("scheme", "TCP") for kind in ("httpGet", "tcpSocket") if kind in exporter[probe]
        }
        assert found == {ACTIONS[web]}


GRACE = {"10s": 30, "25s": 30, "26s": 31, "1m30s": 95, "1h": 3605}


@pytest.mark.parametrize("timeout", GRACE)
def test_an_end_is_waited_for(timeout: str) -> None:
    """A pod may take longer to end than `request_timeout` and two seconds, and 30 seconds at least."""
    pod = by_kind(MINIMAL, f"--set=config.polling.request_timeout={timeout}")["StatefulSet"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == GRACE[timeout]


def test_only_the_configuration_replaces_the_pod() -> None:
    """A change of the configuration changes the pod; one of users files, which the exporter reads again, does not."""
    first, other, users = (
        by_kind(MINIMAL, *change)["StatefulSet"]
        for change in ((), ("--set=config.polling.max_pages=7",), ("--set=files.admins=alice",))
    )
    assert first != other
    assert first == users


INTERVALS = {
    ("interval=30s",): True,
    ("interval=31s",): False,
    ("interval=1m",): False,
    ("interval=1m", "hold=2m"): True,
    ("interval=1m30s", "hold=2m59s"): False,
    ("interval=1m30s", "hold=3m"): True,
}
"""Whether an interval fits; without `hold` the exporter's own default counts, which is a minute."""


@pytest.mark.parametrize("given", INTERVALS)
def test_scrapes_see_first_events(given: tuple[str, ...]) -> None:
    """A ServiceMonitor that scrapes more rarely than each half of `series_hold` is refused, as first events would be lost."""
    names = {"interval": "serviceMonitor.interval", "hold": "config.metrics.series_hold"}
    settings = [f"--set={names[key]}={value}" for key, value in (each.split("=") for each in given)]
    try:
        template(MINIMAL, "--set=serviceMonitor.enabled=true", *settings)
    except ValueError as error:
        assert "more than half of config.metrics.series_hold" in str(error)  # noqa: PT017 - both outcomes are cases
        assert not INTERVALS[given]
    else:
        assert INTERVALS[given]


def rule_groups(*arguments: str) -> Iterator[dict[str, Any]]:
    """Yield the groups of the PrometheusRule."""
    yield from by_kind(MINIMAL, "--set=prometheusRule.enabled=true", *arguments)["PrometheusRule"]["spec"]["groups"]


def test_rules_are_the_kits() -> None:
    """The PrometheusRule has the groups of monitoring/ unharmed, templates in annotations included."""
    kit = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    assert list(rule_groups()) == kit
    assert "{{ $labels.user_pool }}" in str(kit)


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    """Prometheus loads the rules as rendered, with a list of countries and without some alerts."""
    arguments = (
        "--set=prometheusRule.allowedCountries={DE,NO}",
        "--set=prometheusRule.disabledAlerts={CognitoAuthSilence}",
    )
    file = tmp_path / "rendered.rules.yml"
    file.write_text(yaml.safe_dump({"groups": list(rule_groups(*arguments))}))
    promtool = need("promtool", "apt-get install prometheus")
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_alerts_are_left_out_and_countries_listed() -> None:
    """An alert that is disabled is gone, a group with nothing left too, and countries are those allowed."""
    alone = "CognitoAuthCountryNotAllowed"  # the one alert of its group
    found = list(
        rule_groups(f"--set=prometheusRule.disabledAlerts={{{alone}}}", "--set=prometheusRule.allowedCountries={NO}")
    )
    assert alone not in str(found)
    assert all(group["rules"] for group in found)
    assert found[-1]["rules"] == [
        {"record": "country:cognito_auth_allowed:info", "expr": "vector(1)", "labels": {"country": "NO"}}
    ]


def test_dashboards_are_the_kits() -> None:
    """Each dashboard is in a ConfigMap of its own, byte by byte, and the ConfigMap below the megabyte that Kubernetes takes."""
    found = [
        each for each in objects(template(MINIMAL, "--set=dashboards.enabled=true")) if each["kind"] == "ConfigMap"
    ]
    maps = [each for each in found if "grafana_dashboard" in each["metadata"]["labels"]]
    texts = [text for each in maps for text in each["data"].values()]
    assert sorted(texts) == sorted(file.read_text() for file in DASHBOARDS)
    assert len(maps) == len(texts)
    assert all(len(json.dumps(each)) < 1 << 20 for each in maps)


def test_package_is_whole(tmp_path: Path) -> None:
    """A packed chart has the rules and dashboards as files of its own, nothing else of monitoring/, and renders the same."""
    done = helm("package", CHART, f"--destination={tmp_path}")
    assert done.returncode == 0, done.stderr
    packed = tmp_path / f"{METADATA['name']}-{__version__}.tgz"
    with tarfile.open(packed) as archive:
        members = {member.name: member for member in archive.getmembers()}
    prefix = f"{METADATA['name']}/files/monitoring/"
    linked = {name.removeprefix(prefix): member for name, member in members.items() if name.startswith(prefix)}
    assert set(linked) == {str(file.relative_to(ROOT / "monitoring")) for file in (*RULES, *DASHBOARDS)}
    assert all(member.isfile() for member in linked.values())
    assert template(CASES["everything"], chart=packed) == template(CASES["everything"])


@pytest.mark.parametrize("part", ["prometheusRule", "dashboards"])
def test_a_kit_that_is_missing_is_told(part: str, tmp_path: Path) -> None:
    """Where a checkout has a file in the place of the link, alerts and dashboards are not left out in silence."""
    chart = shutil.copytree(CHART, tmp_path / "chart", ignore=shutil.ignore_patterns("monitoring"))
    (chart / "files" / "monitoring").write_text("../../../../monitoring")
    assert objects(template(MINIMAL, chart=chart))
    with pytest.raises(ValueError, match="files/monitoring is not the monitoring kit"):
        template(MINIMAL, f"--set={part}.enabled=true", chart=chart)


RELEASES = (
    "7",
    "watch",
    "cognito-auth-exporter",
    "cognito-auth-exporter-eu",
    "a" * 53,
    "security-team-production-europe-west-1-cluster-seven",
)


@pytest.mark.parametrize("release", RELEASES)
def test_names_fit(release: str) -> None:
    """Whatever the release is called, the name has `cognito`, by which the alert on its absence goes, and fits a StatefulSet."""
    name = by_kind(MINIMAL, release=release)["StatefulSet"]["metadata"]["name"]
    assert "cognito" in name
    assert len(name) <= 52


def test_schema_is_the_configurations() -> None:
    """The schema of the values has the exporter's configuration as it is; `make chart` writes it anew."""
    assert SCHEMA.read_text() == values_schema()


def keys(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the paths of all keys that a schema of its own allows."""
    for name, inner in schema.get("properties", {}).items():
        if inner:  # false is what may not be
            yield f"{path}{name}"
            yield from keys(inner, f"{path}{name}.")


def paths(values: Any, allowed: set[str], path: str = "") -> Iterator[str]:
    """Yield the paths of values, as deep as the schema goes."""
    for name, inner in values.items() if isinstance(values, dict) else ():
        yield f"{path}{name}"
        if any(each.startswith(f"{path}{name}.") for each in allowed):
            yield from paths(inner, allowed, f"{path}{name}.")


ALLOWED = set(keys(json.loads(SCHEMA.read_text())))


def test_every_value_has_its_default() -> None:
    """values.yaml shows every value that the schema allows, and no other."""
    assert set(paths(VALUES, ALLOWED)) | {"global"} == ALLOWED


def test_everything_is_everything() -> None:
    """Every value is another than by default in one of the cases, so that none does nothing."""
    tried = {path for case in CASES for path in paths(values_of(case), ALLOWED)}
    assert tried | {"global"} == ALLOWED


REFUSED = {
    "config: {user_pools: []}": "at '/config/user_pools': minItems",
    "config: {poling: {}}": "at '/config': additional properties 'poling' not allowed",
    "config: {state: {path: /tmp/state.db}}": "at '/config': additional properties 'state' not allowed",
    "config: {polling: {max_staleness: 15 minutes}}": "at '/config/polling/max_staleness': '15 minutes' does not match",
    "config: {polling: {max_staleness: ''}}": "at '/config/polling/max_staleness': minLength",
    "config: {polling: {max_pages: many}}": "at '/config/polling/max_pages': got string, want integer",
    "config: {user_pools: [{id: eu-west-1_A, users: {usernames: [7]}}]}": "usernames/0': got number, want string",
    "replicas: 2": "additional properties 'replicas' not allowed",
    "replicaCount: 2": "additional properties 'replicaCount' not allowed",
    "files: {config.yaml: ''}": "at '/files/config.yaml'",
    "files: {users/admins: alice}": "at '/files': additional properties 'users/admins' not allowed",
    "filesFrom: [{secret: {name: a}, configMap: {name: b}}]": "at '/filesFrom/0': maxProperties",
    "filesFrom: [{secret: {}}]": "at '/filesFrom/0/secret': missing property 'name'",
    "web: {tls: true}": "at '/web/tls': value must be false",
    "web: {authentication: true}": "at '/web/authentication': value must be false",
    "state: {storage: 1Gi}": "at '/state': additional properties 'storage' not allowed",
    "state: {accessMode: ReadWriteMany}": "at '/state/accessMode': value must be one of",
    "state: {size: large}": "at '/state/size': 'large' does not match",
    "extraArgs: ['--web.listen-address=:9999']": "extraArgs: --web.listen-address=:9999 is for the chart to say",
    "extraArgs: [--config.file, other.yaml]": "extraArgs: --config.file is for the chart to say",
    "image: {digest: 0123abcd}": "at '/image/digest': '0123abcd' does not match",
    "serviceMonitor: {interval: '30'}": "at '/serviceMonitor/interval': '30' does not match",
    "prometheusRule: {enabled: true, disabledAlerts: [CognitoAuthSilense]}": "there is no alert CognitoAuthSilense",
    "networkPolicy: {from: []}": "at '/networkPolicy/from': minItems",
    "fullnameOverride: auth": "at '/fullnameOverride': 'auth' does not match",
}


@pytest.mark.parametrize("values", REFUSED)
def test_mistakes_are_refused(values: str, tmp_path: Path) -> None:
    """A mistake in the values ends helm with a short message that names it, before anything reaches the cluster."""
    file = tmp_path / "values.yaml"
    file.write_text(values)
    with pytest.raises(ValueError, match=re.escape(REFUSED[values])) as caught:
        template(MINIMAL, f"--values={file}")
    assert len(str(caught.value)) < 1000


def test_a_configuration_is_required() -> None:
    """Without user pools there is nothing to install."""
    with pytest.raises(ValueError, match="at '/config': missing property 'user_pools'"):
        template()


def test_notes_say_what_comes_next() -> None:
    """After an installation helm says where status page and log are, who asks AWS, and which claim outlives the release."""
    done = helm("install", "watch", CHART, "--namespace=monitoring", "--dry-run=client", MINIMAL)
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    name = "watch-cognito-auth-exporter"
    for words in (
        f"port-forward statefulset/{name} 10078",
        f"logs statefulset/{name}",
        f"service account {name}",
        f"state-{name}-0",
    ):
        assert words in notes


def test_document_names_values_that_exist() -> None:
    """Each value that docs/kubernetes.md names is one of the chart's, and each of its examples is rendered."""
    named = {each for each in re.findall(r"`([a-z]\w*(?:\.\w+)*)`", DOCUMENT) if each.partition(".")[0] in VALUES}
    assert named
    assert {each for each in named if not each.startswith("config")} <= ALLOWED


EXAMPLES = [
    text
    for text in re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    if set(yaml.safe_load(text)) <= set(VALUES)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_the_document_are_rendered(example: str, tmp_path: Path) -> None:
    """Each example of values in docs/kubernetes.md renders."""
    file = tmp_path / "values.yaml"
    file.write_text(example)
    assert objects(template(MINIMAL, f"--values={file}"))
