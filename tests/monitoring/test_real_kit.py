"""The kit as it is: a real exporter, Prometheus, Alertmanager and a webhook, with time that passes faster."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from exporter.simulator.server import Simulator
from exporter.simulator.traffic import POOL_ID, TrafficWorld
from exporter.simulator.world import ScriptedWorld
from mixin.faster import faster_duration, main
from tests.conftest import ExporterProcess, Process, Start, eventually, free_port, need
from tests.monitoring.attacks import PAGE, PLOTS, Stage
from tests.monitoring.promql import parse, selectors
from tests.prometheus import Prometheus, job

KIT = Path(__file__).parents[2] / "monitoring"
FASTER = 120
"""Times as fast: an hour is half a minute."""

DAY_FASTER = 720
"""A day in two minutes."""

POOL = """  - {{id: {id}, name: {name}, endpoint_url: "{url}", users: {{{users}}}}}"""
CONFIG = """
user_pools:
{pools}
polling:
  requests_per_second: 100
  min_interval: 2s
  max_staleness: 6s
  discovery_interval: 3s
  request_timeout: 2s
  max_pages: 5
counting: {{settle: 3s}}
metrics: {{series_hold: 2s, recent_window: 30s, max_series: 30}}
event_log: {{path: events.jsonl}}
"""


class Told(NamedTuple):
    """One alert of a notification."""

    receiver: str
    status: str
    alert: str
    pool: str


class OnCall:
    """Receives notifications as a webhook."""

    def __init__(self) -> None:
        self.told: set[Told] = set()
        handler = type("Webhook", (_Webhook,), {"told": self.told})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._serving = threading.Thread(target=self._server.serve_forever)
        self._serving.start()

    @property
    def url(self) -> str:
        """Where notifications go."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def alerts(self, status: str) -> set[tuple[str, str]]:
        """Return pools and alerts that were told with this status."""
        return {(each.pool, each.alert) for each in set(self.told) if each.status == status}

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._serving.join(10)


class _Webhook(BaseHTTPRequestHandler):
    told: set[Told]

    def do_POST(self) -> None:
        """Take a notification in."""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in message["alerts"]:
            labels = alert["labels"]
            pool = labels.get("user_pool", "")
            self.told.add(Told(message["receiver"], alert["status"], labels["alertname"], pool))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Alertmanager(Process):
    """Alertmanager with the example's routes and inhibitions, its waits shorter, and a webhook for each receiver."""

    def __init__(self, folder: Path, on_call: OnCall) -> None:
        program = need("prometheus-alertmanager", "apt-get install prometheus-alertmanager")
        document = yaml.safe_load((KIT / "alertmanager.example.yml").read_text())
        document["templates"] = [str(KIT / "alertmanager.tmpl")]
        document["receivers"] = [
            {"name": name, "webhook_configs": [{"url": on_call.url}]}
            for name in (receiver["name"] for receiver in document["receivers"])
        ]
        for route in (document["route"], *document["route"]["routes"]):
            waits = {
                key: faster_duration(value, FASTER)
                for key, value in route.items()
                if key.endswith(("_wait", "_interval"))
            }
            route.update(waits)
        config = folder / "alertmanager.yml"
        config.write_text(yaml.safe_dump(document))
        self.port = free_port()
        flags = [f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address="]
        super().__init__([program, *flags, f"--web.listen-address=127.0.0.1:{self.port}"], folder)

    @property
    def muted(self) -> set[tuple[str, str]]:
        """Pools and alerts that are not told now, as another alert speaks for them."""
        alerts = httpx.get(f"http://127.0.0.1:{self.port}/api/v2/alerts", params={"active": "false"}, timeout=10).json()
        labels = [alert["labels"] for alert in alerts if alert["status"]["inhibitedBy"]]
        return {(each.get("user_pool", ""), each["alertname"]) for each in labels}


def faster_rules(folder: Path, by: float, *files: Path) -> list[str]:
    """Write rules with time that passes faster, and return their paths."""
    into = folder / "rules"
    assert main([f"--by={by}", f"--into={into}", *map(str, files)]) == 0
    return [str(into / path.name) for path in files]


def rule_files(*names: str) -> list[Path]:
    """Return the kit's files of these names."""
    return [KIT / f"{name}.rules.yml" for name in names]


def with_allowed_country(folder: Path) -> Path:
    """Edit the list of countries as its comment says, the one that is allowed being GB."""
    edited = folder / "countries.rules.yml"
    text = (KIT / edited.name).read_text()
    listed = re.sub(r"^      # (?=- record|  expr|  labels)", "      ", text, flags=re.MULTILINE)
    edited.write_text(listed.replace("{country: DE}", "{country: GB}"))
    return edited


def past_days(folder: Path, now: float) -> None:
    """Write a past into Prometheus' storage in which the pool `silence` was busy at this hour yesterday and a week ago."""
    series = 'user_pool:cognito_auth_recent_events:sum{job="cognito",user_pool="silence"}'
    day, hour = 86_400 / FASTER, 3600 / FASTER
    spans = [(now - days * day - hour, now - days * day + 300.0) for days in (7, 1)]
    moments = (begin + second for begin, end in spans for second in range(int(end - begin)))
    lines = [f"{series} 50 {moment:.3f}" for moment in moments if moment < now - 60]
    metrics = folder / "past.txt"
    metrics.write_text("\n".join(["# TYPE user_pool:cognito_auth_recent_events:sum gauge", *lines, "# EOF", ""]))
    promtool = need("promtool", "apt-get install prometheus")
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", str(metrics), str(folder / "tsdb")],
        check=True,
        capture_output=True,
    )


@pytest.fixture
def on_call() -> Iterator[OnCall]:
    """Return who is told of alerts."""
    made = OnCall()
    yield made
    made.close()


@pytest.fixture
def closing() -> Iterator[Callable[[Any], Any]]:
    """Return a function that takes what is to be closed in the end, the last first, and gives it back."""
    things: list[Any] = []

    def take(thing: Any) -> Any:
        things.append(thing)
        return thing

    yield take
    for thing in reversed(things):
        thing.close()


def stand_by(folder: Path, port: int) -> Process:
    """Start one more exporter, the demo, at this port."""
    return Process(
        [sys.executable, "-m", "exporter", "demo", "--users=3", f"--web.listen-address=127.0.0.1:{port}"], folder
    )


def set_stages(simulator: Simulator, world: ScriptedWorld) -> dict[str, Stage]:
    """Make the pools of all plots, with what is to have happened before everything."""
    stages = {name: Stage(simulator, world, name, plot.region) for name, plot in PLOTS.items()}
    for name, stage in stages.items():
        PLOTS[name].before(stage)
    return stages


def configuration(simulator: Simulator, stages: Mapping[str, Stage]) -> str:
    """Return the configuration that polls these pools."""
    pools = [
        POOL.format(id=each.pool_id, name=name, url=simulator.url, users=PLOTS[name].users)
        for name, each in stages.items()
    ]
    return CONFIG.format(pools="\n".join(pools))


def watched(exporter: ExporterProcess, other_port: int, alertmanager: Alertmanager, folder: Path) -> Prometheus:
    """Start a Prometheus that scrapes both exporters and judges by the faster rules."""
    rules = faster_rules(folder, FASTER, with_allowed_country(folder), *rule_files("recording", "threats", "exporter"))
    target = {"targets": [f"127.0.0.1:{alertmanager.port}"]}
    return Prometheus(
        exporter,
        folder,
        [job("cognito-demo", other_port)],
        rule_files=rules,
        alerting={"alertmanagers": [{"static_configs": [target]}]},
    )


WANTED = frozenset(
    {
        *((name, alert) for name, plot in PLOTS.items() for alert in plot.alerts),
        ("", "CognitoAuthExporterDown"),
        ("", "CognitoAuthReloadFailed"),
    }
)
"""Pools and alerts that have to be told."""

POSSIBLE = WANTED | {
    *((name, alert) for name, plot in PLOTS.items() for alert in plot.besides),
    *((name, "CognitoAuthUsersStale") for name in PLOTS),  # a slow machine does make them wait
}
MUTED = {(name, "CognitoAuthPoolNotAnswering") for name in ("unprotected", "denied")}


@pytest.mark.timeout(540)
def test_each_attack_reaches_who_is_on_call(
    start: Start, tmp_path: Path, on_call: OnCall, closing: Callable[[Any], Any]
) -> None:
    """Each staged attack and trouble leads to its alerts and no others, at their receivers, and its end is told too."""
    past_days(tmp_path, time.time())
    world = ScriptedWorld()
    simulator = closing(Simulator(world, page_size=PAGE))
    stages = set_stages(simulator, world)
    config, good = tmp_path / "config.yaml", configuration(simulator, stages)
    config.write_text(good)
    exporter = start()
    other = closing(stand_by(tmp_path, other_port := free_port()))
    eventually(lambda: exporter.get("/-/ready").status_code == 200, "the exporter")
    alertmanager = closing(Alertmanager(tmp_path, on_call))
    prometheus = closing(watched(exporter, other_port, alertmanager, tmp_path))
    past = "user_pool:cognito_auth_guessed_users:sum{user_pool='guessing'} offset 1m"
    eventually(lambda: prometheus.value(past) == 0, "two hours, as the rules have them", seconds=120)

    for name, stage in stages.items():
        PLOTS[name].deed(stage)
    other.end()
    config.write_text("user_pools: none")
    exporter.popen.send_signal(signal.SIGHUP)
    eventually(lambda: came(WANTED, on_call.alerts("firing")), "all alerts", seconds=150)
    eventually(lambda: came(MUTED, alertmanager.muted), "what only follows to be muted")
    assert without_data(prometheus) == []

    for name, stage in stages.items():
        PLOTS[name].end(stage)
    closing(stand_by(tmp_path, other_port))
    config.write_text(good)
    exporter.popen.send_signal(signal.SIGHUP)
    eventually(lambda: came(WANTED, on_call.alerts("resolved")), "the end of all alerts", seconds=180)
    assert {told for told in on_call.alerts("firing") if told[0] != "demo"} - POSSIBLE == set()
    assert misdirected(on_call) == set()


def came(wanted: AbstractSet[tuple[str, str]], told: AbstractSet[tuple[str, str]]) -> bool:
    """Tell whether all that is wanted has been told; if not, say what is missing."""
    missing = wanted - told
    assert missing == set()
    return True


def misdirected(on_call: OnCall) -> set[Told]:
    """Return what was told to somebody else than `amtool` says for the alert's labels."""
    rules = [
        rule
        for path in KIT.glob("*.rules.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    labels = {rule["alert"]: rule["labels"] for rule in rules if "alert" in rule}
    receivers = {name: receiver(**found) for name, found in labels.items()}
    return {told for told in on_call.told if told.receiver != receivers[told.alert]}


def receiver(**labels: str) -> str:
    """Return which receiver of the example an alert with these labels goes to."""
    amtool = need("amtool", "apt-get install prometheus-alertmanager")
    asked = [amtool, "config", "routes", "test", f"--config.file={KIT / 'alertmanager.example.yml'}"]
    answer = subprocess.run(
        [*asked, *(f"{name}={value}" for name, value in labels.items())], capture_output=True, check=True
    )
    return answer.stdout.decode().strip()


WINDOWS = {"$__rate_interval": "5m", "$__range": "5m", "$__interval": "5s"}


def shown(query: str) -> str:
    """Return a panel's query as Grafana sends it with every job, instance and pool chosen."""
    for window, length in WINDOWS.items():
        query = query.replace(window, length)
    return re.sub(r"\$(job|instance|user_pool)\b", ".+", query)


def without_data(prometheus: Prometheus) -> list[str]:
    """Return what of all dashboards shows nothing: panels' queries, and the families and recorded names in them."""
    dashboards = [json.loads(path.read_text()) for path in (KIT / "dashboards").glob("*.json")]
    queries = {
        f"{dashboard['title']}: {panel['title']}: {target['expr']}": shown(target["expr"])
        for dashboard in dashboards
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }
    names = {selector.name for query in queries.values() for selector in selectors(parse(query)) if selector.name}
    everything = {**queries, **{name: name for name in names}}
    return [what for what, query in everything.items() if not prometheus.ask_over(query, minutes=4)]


DAY = """
user_pools:
  - {{id: {id}, name: quiet, endpoint_url: "{url}", users: {{all: true}}}}
polling: {{requests_per_second: 100, min_interval: 1s, max_staleness: 2s}}
counting: {{start: beginning, settle: 2s}}
metrics: {{series_hold: 1s, recent_window: 5s}}
"""


@pytest.mark.timeout(400)
def test_a_quiet_day_fires_nothing(start: Start, tmp_path: Path, closing: Callable[[Any], Any]) -> None:
    """A day of people who sign in, mistype, forget and sleep, and nobody else: no alert fires.

    Alerts on threats see the day in two minutes. The exporter itself lives in real time, and so do the alerts on it.
    """
    world = TrafficWorld(5, 60, time.time(), DAY_FASTER, 60.0, activity=3.0, calm=True)
    simulator = closing(Simulator(world))
    (tmp_path / "config.yaml").write_text(DAY.format(id=POOL_ID, url=simulator.url))
    exporter = start()
    eventually(lambda: exporter.get("/-/ready").status_code == 200, "the exporter")
    day = faster_rules(tmp_path, DAY_FASTER, *rule_files("recording", "threats", "countries"))
    rules = [*day, *map(str, rule_files("exporter"))]
    prometheus = closing(Prometheus(exporter, tmp_path, interval="500ms", rule_files=rules))
    counted = "sum(increase(cognito_auth_events_total[5m]))"
    eventually(lambda: prometheus.value("count(cognito_auth_up offset 120s)"), "the end of the day", seconds=200)
    assert (prometheus.value(counted) or 0) > 300
    assert prometheus.value('sum(cognito_auth_events_total{event_type="SignIn", response="Fail"}) > 20')
    assert prometheus.value('user_pool:cognito_auth_recent_failures:usual{user_pool="quiet"}') is not None
    health = {rule["health"] for group in prometheus.get("rules")["groups"] for rule in group["rules"]}
    assert health == {"ok"}
    assert prometheus.ask('count_over_time(ALERTS{alertstate="firing"}[10m])') == []
