#!/usr/bin/env bash
# Sees to it that what the tests need is there: Go, PostgreSQL 15 or later, a Chromium, Mosquitto and its clients, and a Python
# with paho-mqtt for the samples. Silent when all of it is. What is missing it installs (as root on a Debian-like system) or names with the command that installs it.
# It keeps to what bash 3 knows, so that it can speak on a Mac too.
#
# PREREQUISITES_ROOT is put before every absolute path that is looked at or written: prerequisites_test.go uses it.
set -euo pipefail

root=${PREREQUISITES_ROOT:-}
oldest=15 # PostgreSQL

have() { command -v "$1" >/dev/null 2>&1; }

# The same places in which `hale up` looks, in the same order.
have_postgresql() {
  local bin version
  for bin in "${HALE_PG_BIN:-}" "$root"/usr/lib/postgresql/*/bin "$root"/usr/pgsql-*/bin \
    "$root"/opt/homebrew/opt/postgresql*/bin "$root"/usr/local/opt/postgresql*/bin "$(dirname "$(command -v postgres || echo /)")"; do
    [ -x "$bin/postgres" ] && [ -x "$bin/initdb" ] || continue
    version=$("$bin/postgres" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
    [ "${version:-0}" -ge "$oldest" ] && return 0
  done
  return 1
}

have_chromium() {
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable headless-shell; do
    have "$name" && return 0
  done
  return 1
}

# Debian puts the broker where only root's PATH looks.
have_mosquitto() { have mosquitto || [ -x "$root/usr/sbin/mosquitto" ] || [ -x "$root/usr/local/sbin/mosquitto" ] || [ -x "$root/opt/homebrew/sbin/mosquitto" ]; }

# A Python of the user's own may come first on the PATH and have no packages; Debian's is where it always is.
have_paho() { python3 -c 'import paho.mqtt.client' 2>/dev/null || "$root/usr/bin/python3" -c 'import paho.mqtt.client' 2>/dev/null; }

# lacking prints the packages that are not there, by Debian's names, on one line.
lacking() {
  local all=""
  have_postgresql || all="$all postgresql"
  have_chromium || all="$all $chromium"
  have_mosquitto || all="$all mosquitto"
  have mosquitto_pub || all="$all mosquitto-clients"
  have_paho || all="$all python3-paho-mqtt"
  echo "${all# }"
}

# Debian's package starts a database server on port 5432 when it is installed. We want the programs only, so we say so
# beforehand; a machine that has PostgreSQL already never comes here. The last setting in the file wins.
no_cluster_of_its_own() {
  local conf=$root/etc/postgresql-common/createcluster.conf
  mkdir -p "$(dirname "$conf")"
  printf '%s\n' '# Written by hale: it runs a private server of its own and needs none on port 5432.' \
    'create_main_cluster = false' >>"$conf"
}

# Debian's mosquitto package starts a broker on port 1883, now and at every boot. We want the program only, so we mask its
# service beforehand; where no systemd runs, a policy says no while the package is installed. A machine that has Mosquitto
# already never comes here.
masked_service=/etc/systemd/system/mosquitto.service
no_broker_of_its_own() {
  mkdir -p "$root$(dirname "$masked_service")"
  [ -e "$root$masked_service" ] || [ -L "$root$masked_service" ] || ln -s /dev/null "$root$masked_service"
  local policy=$root/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    mkdir -p "$(dirname "$policy")"
    printf '%s\n' '#!/bin/sh' '# Written by hale while it installs mosquitto, and removed then.' 'exit 101' >"$policy"
    chmod 755 "$policy"
    # shellcheck disable=SC2064 # the path as it is now
    trap "rm -f '$policy'" EXIT
  fi
}

# includes reports whether a list of packages has this one in it.
includes() { case " $1 " in *" $2 "*) return 0 ;; *) return 1 ;; esac; }

if ! have go; then
  echo "The tests need Go 1.26 or later: https://go.dev/dl" >&2
  exit 1
fi

chromium=chromium
if grep -qs '^ID=ubuntu' "$root/etc/os-release"; then chromium=chromium-browser; fi

need=$(lacking)
[ -n "$need" ] || exit 0

if [ ! -e "$root/etc/debian_version" ] || ! have apt-get; then
  echo "The tests need real parts, and these are missing: $need" >&2
  echo "Install them with your system's package manager (PostgreSQL $oldest or later; mosquitto is the broker, mosquitto-clients is what holds mosquitto_pub, python3-paho-mqtt is paho-mqtt for Python 3)." >&2
  exit 1
fi

if [ "$(id -u)" -ne 0 ]; then
  echo "The tests need real parts, and these are missing: $need" >&2
  echo "This installs them:" >&2
  if includes "$need" postgresql; then
    echo "  sudo mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' | sudo tee -a /etc/postgresql-common/createcluster.conf" >&2
  fi
  if includes "$need" mosquitto; then
    echo "  sudo ln -s /dev/null $masked_service # or the package starts a broker on port 1883" >&2
  fi
  echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends $need" >&2
  exit 1
fi

echo "Installing what the tests need and this machine lacks: $need"
if includes "$need" postgresql; then no_cluster_of_its_own; fi
if includes "$need" mosquitto; then no_broker_of_its_own; fi
export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
apt-get update -q
# shellcheck disable=SC2086 # a list of package names, split on purpose
apt-get install -q -y --no-install-recommends $need

need=$(lacking)
if [ -n "$need" ]; then
  echo "Installed, and yet missing or too old: $need (PostgreSQL must be $oldest or later)." >&2
  exit 1
fi
