"""The running exporter: wires configuration, ledger, polling, metrics and web, and reacts to signals."""

import asyncio
import contextlib
import os
import platform
import random
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from structlog.typing import FilteringBoundLogger

from exporter import __version__
from exporter.configuration.changes import changed_keys
from exporter.configuration.errors import ConfigError
from exporter.configuration.models import Config
from exporter.derived import event_line, ledger_settings, presentation
from exporter.event_log import sink
from exporter.event_log.event_log import EventLog
from exporter.fetch.sources import RequestObserver, SourceFactory
from exporter.ledger.ledger import PoolState
from exporter.ledger.sqlite import SqliteLedger
from exporter.ledger.writer import Writer
from exporter.metrics.committed import Committed
from exporter.metrics.exposition import Exposition
from exporter.metrics.instruments import Instruments
from exporter.metrics.view import PoolView
from exporter.schedule.accounts import Accounts
from exporter.schedule.budget import Budget
from exporter.schedule.clock import WallClock
from exporter.schedule.engine import Engine
from exporter.schedule.requests import Surroundings
from exporter.schedule.status import PoolStatus, Recent, Status, by_dimension
from exporter.systemd import ServiceManager
from exporter.web.accepting import AcceptFailures
from exporter.web.app import ReloadError, create_app
from exporter.web.guard import Guard
from exporter.web.negotiation import ExpositionFormat
from exporter.web.passwords import Passwords
from exporter.web.server import WebServer
from exporter.web.web_files import WebConfigFiles

SourcesFor = Callable[[RequestObserver], SourceFactory]

_FORMATS = {ExpositionFormat.TEXT: Exposition.text, ExpositionFormat.OPENMETRICS: Exposition.openmetrics}
_LEDGER_STUCK = 120.0  # seconds in one transaction
_PATIENCE_WITH_RELOAD = 1.0  # seconds, once the engine has ended that it waits for


@dataclass(frozen=True, slots=True)
class WebOptions:
    """The flags of the web side; `files` are those of the web configuration, None without one."""

    sockets: Sequence[socket.socket]
    telemetry_path: str
    enable_lifecycle: bool
    max_requests: int
    files: WebConfigFiles | None = None

    @property
    def scheme(self) -> str:
        """What is spoken on the sockets."""
        return "http" if self.files is None or self.files.last_good.tls is None else "https"


class Exporter:
    """One process of the exporter, from an open ledger to a clean end."""

    def __init__(
        self,
        config: Config,
        ledger: SqliteLedger,
        *,
        read_config: Callable[[], Config],
        sources: SourcesFor,
        web: WebOptions,
        logger: FilteringBoundLogger,
    ) -> None:
        self._config = config
        self._read_config = read_config
        self._logger = logger
        self._web = web
        self._started = time.time()
        self._instruments = Instruments()
        self._instruments.built(
            __version__, os.environ.get("COGNITO_AUTH_EXPORTER_REVISION", ""), platform.python_version()
        )
        self._instruments.reloaded(self._started)
        self._sources = sources(self._instruments.request)
        self._state_hash_key = ledger.hash_key
        self._writer = Writer(ledger, self._publish, time.time, logger, self._instruments)
        self._writer.reopened = self._regroup_soon
        self._event_log = EventLog(self._writer, self._instruments, logger)
        self._views: dict[str, PoolView] = {}
        self._lags: dict[str, float] = {}
        self._budgets: dict[str, Budget] = {}
        self._accounts = Accounts()
        self._clock = WallClock(time.time, time.monotonic)
        self._engine = self._new_engine(config)
        self._is_open = False
        self._stopping = False
        self._stop = asyncio.Event()
        self._reloading = asyncio.Lock()
        # not asyncio's own threads, which are waited for at the end
        self._reader = ThreadPoolExecutor(1, "configuration")
        self._reloads: set[asyncio.Future[None]] = set()
        self._reload_error: str | None = None
        committed = Committed(self._views_by_name, self.status, time.time)
        self._exposition = Exposition(self._instruments.sections, committed.sections)

    def stop(self) -> None:
        """Have `run` finish what is under way, and return."""
        self._stop.set()

    async def run(self) -> None:
        """Poll and serve until SIGTERM, SIGINT or `stop`, then finish what is under way."""
        self._handle_signals()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(AcceptFailures(self._logger, time.monotonic, loop.get_exception_handler()))
        server = self._new_server()
        async with self._reloading:  # a reload waits until there is something to reload
            await self._show(self._config)
            await self._event_log.follow(self._config.event_log.path)
            self._is_open = True
            # only now: a scrape that found no counters yet would make gaps in their graphs
            serving = asyncio.create_task(server.serve(list(self._web.sockets)))
            writing = asyncio.create_task(self._writer.run())
            await self._begin()
        living = asyncio.create_task(self._live())
        ended = {asyncio.create_task(self._stop.wait()), serving, writing}
        await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        self._logger.info("stopping")
        self._stopping = True
        self._writer.hasten()
        await self._engine.stop()
        await self._end_reload()
        self._writer.close()
        await writing
        await self._event_log.end()
        server.stop()
        await serving
        await self._writer.finish()
        living.cancel()
        self._logger.info("stopped")

    async def _live(self) -> None:
        """Say that the start is done; after that give systemd's watchdog signs of life, as long as the polling is not stuck."""
        where = ", ".join(_address(each) for each in self._web.sockets)
        if not self._stop.is_set():
            pools = len(self._config.user_pools)
            self._logger.info(
                "started", version=__version__, listening=where, scheme=self._web.scheme, user_pools=pools
            )
        with contextlib.closing(ServiceManager(self._logger)) as manager:
            manager.ready(f"listening on {where}")
            await manager.show_life(self.stuck)

    async def _begin(self) -> None:
        """Start the engine, unless the exporter is stopped meanwhile: a million users take a while."""
        starting, stopped = asyncio.ensure_future(self._engine.start()), asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            self._engine.interrupt()
            self._writer.hasten()
        await starting
        stopped.cancel()

    async def _end_reload(self) -> None:
        """End the engine that a reload under way puts in place; one that cannot read its file is not waited for."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._reloading.acquire(), _PATIENCE_WITH_RELOAD)
        await self._engine.stop()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload_on_signal)

    # -- configuration -----------------------------------------------------------------------------------------------------------

    async def _show(self, config: Config) -> None:
        """Show what is committed of the configured pools by this configuration, and count by it."""
        pool_ids = [pool.id for pool in config.user_pools]
        states = await self._writer.load(pool_ids, ledger_settings(config), event_line(config, self._state_hash_key))
        # from here to the swap nothing may wait: a commit would be published to views that are about to go
        names = {pool.id: pool.name for pool in config.user_pools}
        shown = presentation(config, self._state_hash_key)
        views = {pool_id: PoolView(names[pool_id], shown) for pool_id in states}
        for pool_id, view in views.items():
            view.update(states[pool_id], time.time())
        for pool in config.user_pools:
            self._instruments.show_pool(pool.name)
        self._config, self._views = config, views

    def _hide_pools_left(self, before: Config) -> None:
        names = {pool.name for pool in self._config.user_pools}
        for pool in before.user_pools:
            if pool.name not in names:
                self._instruments.hide_pool(pool.name)

    def _new_engine(self, config: Config) -> Engine:
        around = Surroundings(
            writer=self._writer,
            observer=self._instruments,
            clock=self._clock,
            monotonic=time.monotonic,
            random=random.Random(),  # noqa: S311 - it spreads waits, it guards nothing
            logger=self._logger,
            stop=asyncio.Event(),
        )
        return Engine(config, self._sources, self._budgets, around, accounts=self._accounts, regroup=self._regroup_soon)

    def _reload_on_signal(self) -> None:
        self._reload_soon(self._reload_and_log())

    def _regroup_soon(self) -> None:
        self._reload_soon(self._regroup())

    def _reload_soon(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _regroup(self) -> None:
        """Poll on by the same configuration, with the pools grouped by the accounts that are known by now."""
        async with self._reloading:
            try:
                await self._poll_by(self._config)
            except ReloadError:
                return  # the exporter is stopping
            except Exception as error:  # noqa: BLE001 - a task that nobody waits for
                self._logger.error("pools of one account were not taken together", error=repr(error))

    async def _reload_and_log(self) -> None:
        try:
            await self.reload()
        except ReloadError:
            return  # it has been logged where it failed
        except Exception as error:  # noqa: BLE001 - a task that nobody waits for
            self._logger.error("the configuration was not reloaded by a fault", error=repr(error))

    async def reload(self) -> None:
        """Read the configuration anew and go on with it; a mistake changes nothing. Raises `ReloadError`."""
        async with self._reloading:
            before = self._config
            try:
                config = await asyncio.get_running_loop().run_in_executor(self._reader, self._read_config)
                self._refuse_what_cannot_change(config)
                await self._check_event_log(config)
                await self._reload_web_config()
                await self._show(config)
            except Exception as error:
                self._instruments.reloaded(None)
                self._reload_error = error.place if isinstance(error, ConfigError) else str(error)
                self._logger.error("the configuration was not reloaded; the one before stays", error=str(error))
                raise ReloadError(str(error)) from error
            await self._event_log.follow(config.event_log.path)
            await self._poll_by(config)
            self._hide_pools_left(before)
            self._instruments.reloaded(time.time())
            self._reload_error = None
            changed = ", ".join(changed_keys(before, config)) or "nothing"
            self._logger.info("the configuration was reloaded", changed=changed)

    async def _reload_web_config(self) -> None:
        if self._web.files is not None:
            await self._web.files.reload()

    async def _poll_by(self, config: Config) -> None:
        """Put an engine for this configuration in the place of the one before, once that has ended."""
        former, engine = self._engine, self._new_engine(config)
        await former.stop()
        self._refuse_while_stopping()
        await engine.start(former.pollers)
        self._engine = engine

    def _refuse_while_stopping(self) -> None:
        if self._stopping:
            raise ReloadError("the exporter is stopping")

    def _refuse_what_cannot_change(self, config: Config) -> None:
        self._refuse_while_stopping()
        if config.state.path != self._config.state.path:
            raise ReloadError(
                "state.path cannot change without a restart; put the old path back or restart the exporter"
            )

    async def _check_event_log(self, config: Config) -> None:
        """Refuse a new place for the event log that cannot be written; one that has failed since stays."""
        path = config.event_log.path
        if path != self._config.event_log.path:
            await asyncio.get_running_loop().run_in_executor(self._reader, sink.check, path)

    # -- what is shown -----------------------------------------------------------------------------------------------------------

    def _publish(self, changes: Mapping[str, PoolState]) -> None:
        names = {pool.id: pool.name for pool in self._config.user_pools}
        for pool_id, change in changes.items():
            view = self._views.get(pool_id)
            if view is not None:
                view.update(change, time.time())
                self._instruments.committed(names[pool_id], change)
                self._lags[pool_id] = change.lags[-1] if change.lags else self._lags.get(pool_id, 0.0)
        if changes:
            self._event_log.wake()

    def _views_by_name(self) -> Mapping[str, PoolView]:
        return {pool.name: self._views[pool.id] for pool in self._config.user_pools if pool.id in self._views}

    def status(self) -> Status:
        """Return how everything is doing."""
        pools = tuple(
            replace(pool, lag_seconds=self._lags.get(pool.pool_id), in_progress=self._in_progress(pool.pool_id))
            for pool in self._engine.pools()
        )
        return Status(
            version=__version__,
            now=time.time(),
            started=self._started,
            pools=pools,
            budgets=self._engine.budgets(),
            max_staleness=self._config.polling.max_staleness,
            recent_window=self._config.metrics.recent_window,
            ready=self.ready(),
            stuck=self.stuck(),
            reload_error=self._reload_error,
            state_error=self._writer.health.error,
        )

    def status_with_recent(self) -> Status:
        """Return the same with the recent events by dimension, which takes time in proportion to their label sets."""
        status = self.status()
        return replace(
            status, pools=tuple(replace(pool, recent=self._recent(pool, status.now)) for pool in status.pools)
        )

    def _recent(self, pool: PoolStatus, now: float) -> Recent | None:
        view = self._views.get(pool.pool_id)
        if view is None or pool.newest_poll is None:
            return None
        view.expire(now)
        return by_dimension(view.recent_events(), with_country=self._config.metrics.country != "none")

    def _in_progress(self, pool_id: str) -> int:
        view = self._views.get(pool_id)
        return 0 if view is None else sum(view.in_progress().values())

    def ready(self) -> bool:
        """Tell whether the state is open and the first users are known."""
        return self._is_open and self._engine.ready

    def stuck(self) -> str | None:
        """Say what keeps the polling from going on, None where nothing does."""
        since = self._writer.busy_since
        if since is not None and time.monotonic() - since > _LEDGER_STUCK:
            return "the state file does not take a transaction"
        return self._engine.stuck

    def _new_server(self) -> WebServer:
        app = create_app(
            expose=lambda wanted, names: _FORMATS[wanted](self._exposition, names),
            status=self.status_with_recent,
            stuck=self.stuck,
            ready=self.ready,
            reload=self.reload if self._web.enable_lifecycle else None,
            telemetry_path=self._web.telemetry_path,
            max_requests=self._web.max_requests,
        )
        files = self._web.files
        if files is None:
            return WebServer(app)
        return WebServer(
            Guard(app, files, Passwords()), security=files.security if self._web.scheme == "https" else None
        )


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
