#!/usr/bin/env bash
# What the long tests use beside Python packages, from Debian and npm: a browser, axe-core, Slurm. Tests whose tools are
# missing are skipped, so that a machine without root can still run the others; BROWSER_TESTS=required makes it an error.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  packages=(chromium fonts-dejavu-core slurm-client slurmctld slurmd munge)
  command -v npm > /dev/null || packages+=(npm) # Debian's npm conflicts with the one that comes with Node.js from elsewhere
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" > /dev/null
fi
if command -v npm > /dev/null; then
  npm install --silent --no-save --no-audit --no-fund axe-core@4
fi
