#!/bin/bash
# Boots systemd from a throw-away copy of this machine, installs the exporter there as docs/systemd.md says, and has trial.sh run: nothing of the machine
# itself is changed. $1 is the project, $2 a Python with pip, $3 an empty folder for what comes of it. Runs as root in a mount namespace of its own.
set -euo pipefail
project=$1 python=$2 out=$3
here=$project/tests/deploy/boot

mkdir "$out/disk" "$out/seen"
mount -t tmpfs tmpfs "$out/disk"
mkdir "$out/disk/upper" "$out/disk/work" "$out/disk/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$out/disk/upper,workdir=$out/disk/work" "$out/disk/root"

# Debian's Python, which the service can see, and which may come without pip.
root=$out/disk/root
mount --rbind /dev "$root/dev"
mkdir -p "$root$project"
mount --bind "$project" "$root$project" # where it is a mount of its own, the copy of / does not have it
cat /etc/resolv.conf >"$root/etc/resolv.conf"
rm -rf "$root/opt/cognito-auth-exporter"
chroot "$root" /usr/bin/python3 -m venv --without-pip /opt/cognito-auth-exporter
chroot "$root" "$python" -m pip --python /opt/cognito-auth-exporter/bin/python install --quiet "$project"
umount --lazy "$root/dev" "$root$project"
mkdir -p "$root/etc/cognito-auth-exporter" "$root/etc/systemd/system/cognito-auth-exporter.service.d"
cp "$project/deploy/systemd/cognito-auth-exporter.service" "$here"/*.service "$here/trial.target" "$root/etc/systemd/system/"
cp "$here/trial.conf" "$root/etc/systemd/system/cognito-auth-exporter.service.d/"
cp "$here/config.yaml" "$here/aws-credentials" "$root/etc/cognito-auth-exporter/"
cp "$here/trial.sh" "$root/opt/trial.sh"
cp -r "$project/deploy/systemd" "$root/opt/systemd"
: >"$root/etc/machine-id"

exec systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit --private-network --machine=trial \
    --bind="$out/seen:/seen" systemd.unit=trial.target
