#!/usr/bin/env bash
# What the long tests use beside Python packages, from Debian and npm: a browser, axe-core, Slurm. Tests whose tools are
# missing are skipped, so that a machine without root can still run the others.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    chromium fonts-dejavu-core npm slurm-client slurmctld slurmd munge > /dev/null
fi
command -v npm > /dev/null && npm install --silent --no-save --no-audit --no-fund axe-core@4
exit 0
