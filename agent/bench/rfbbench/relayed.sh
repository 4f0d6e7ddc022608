#!/bin/bash
# The whole way in one process tree: server, agent and `traybell vnc` as children of this script, so that
# a benchmark can count the CPU of all. The desktop is opened under a standing grant of root's.
# usage: relayed.sh DISPLAY PORT     (programs from ../../../bin, or from $BIN)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=${BIN:-$here/../../../bin}
display=$1 port=$2 https=$(($2 + 10000))
dir=$(mktemp -d /tmp/relayed.XXXXXX)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$dir"' EXIT
trap 'exit 0' TERM INT
until_true() { for _ in $(seq 150); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; echo "relayed: timed out: $*" >&2; exit 1; }
open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
ready() { "$bin/traybell-agent" status --state "$dir/agent" --json | grep -q '"ready"'; }

"$bin/traybell-server" serve --data "$dir/server" --listen 127.0.0.1:$https --public-url https://localhost:$https >"$dir/server.log" 2>&1 &
until_true open $https
"$bin/traybell-server" enrolment-key --data "$dir/server" | "$bin/traybell-agent" enrol - --state "$dir/agent" >/dev/null
DISPLAY=$display XAUTHORITY=${XAUTHORITY:-} "$bin/traybell-agent" run --state "$dir/agent" >"$dir/agent.log" 2>&1 &
until_true ready
"$bin/traybell-agent" grants add --state "$dir/agent" --standing --scopes view,control >/dev/null
"$bin/traybell-server" invite --data "$dir/server" --role technician --email bench@example.com >/dev/null
"$bin/traybell-server" token --data "$dir/server" --account bench@example.com >"$dir/token"
export XDG_CONFIG_HOME=$dir
"$bin/traybell" login --server https://localhost:$https --token-file "$dir/token" --pin first >/dev/null
device=$("$bin/traybell" devices --json | grep -o '"id": *"[^"]*"' | head -1 | cut -d'"' -f4)
"$bin/traybell" vnc "$device" --listen 127.0.0.1:$port >"$dir/vnc.log" 2>&1 &
wait
