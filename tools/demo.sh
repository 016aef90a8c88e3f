#!/bin/sh
# What 'make demo' runs: a Linux guest moved live between two lab hosts. Needs root for the hosts' namespaces.
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" = 0 ]; then
        exec /usr/bin/python3 -m lab demo
fi
echo "drover: the demo's hosts need root; sudo may ask for your password"
exec sudo /usr/bin/python3 -m lab demo
