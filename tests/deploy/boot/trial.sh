#!/bin/bash
# What an administrator would do, with what comes of it as lines of NAME VALUE in /seen/results.
service=cognito-auth-exporter
exec 2>/seen/trace
set -x

tell() { echo "$1 $2" >>/seen/results; }
state() { systemctl show --property="$1" --value "$service"; }
page() { curl --silent --fail --max-time 20 "localhost:10078$1"; }
until_page_has() { for _ in $(seq 100); do page /metrics | grep --quiet "$1" && return; sleep 0.2; done; return 1; }
of_process() { grep "^$1:" "/proc/$(state MainPID)/status" | cut --fields=2; }

systemctl start simulator
systemctl start "$service"; tell start $?
tell status "$(state StatusText)"
until_page_has 'cognito_auth_events_total{'; tell counts $?
page /metrics | grep --quiet '^process_start_time_seconds'; tell process_metrics $?
tell user "$(state MainPID | xargs ps -o user= -p)"
tell capabilities "$(of_process CapBnd)"
tell new_privileges_denied "$(of_process NoNewPrivs)"
tell system_calls_filtered "$(of_process Seccomp)"
tell descriptors "$(page /metrics | grep '^process_max_fds')"
tell state "$(stat --format='%A %U' /var/lib/cognito-auth-exporter/state.db)"

systemctl reload "$service"; tell reload $?
until_page_has 'config_last_reload_successful 1'; tell reloaded $?
systemctl stop "$service"; tell stop "$(state Result) $(state ExecMainStatus)"

cp /etc/cognito-auth-exporter/config.yaml /run/good.yaml
echo 'no_such_key: 1' >>/etc/cognito-auth-exporter/config.yaml
systemctl start "$service"
sleep 6
tell mistake "$(state ActiveState) $(state ExecMainStatus) $(state NRestarts)"
cp /run/good.yaml /etc/cognito-auth-exporter/config.yaml

# the lasting user of "Who reads the configuration"
useradd --system --no-create-home --shell /usr/sbin/nologin cognito-auth-exporter
chown -R root:cognito-auth-exporter /etc/cognito-auth-exporter
chmod -R u=rwX,g=rX,o= /etc/cognito-auth-exporter
systemctl start "$service"; tell lasting_user $?
tell lasting_id "$(($(of_process Uid) == $(id --user cognito-auth-exporter)))"

# trial.conf has a watchdog of 3 s
systemctl kill --signal=STOP "$service"
for _ in $(seq 200); do [ "$(state NRestarts)" = 1 ] && [ "$(state ActiveState)" = active ] && break; sleep 0.2; done
tell watchdog "$(state NRestarts) $(state ActiveState)"

systemctl stop "$service"
cp -r /opt/systemd/*.socket /opt/systemd/*.service.d /etc/systemd/system/
systemctl daemon-reload
systemctl enable --now "$service.socket"
systemctl start "$service"
systemctl restart "$service" &
for _ in $(seq 20); do page /metrics >/seen/page; tell scrape $?; sleep 0.1; done
wait

journalctl --no-pager --output=short-precise >/seen/journal
systemctl poweroff --force
