#!/bin/bash
# Interleaved comparison of RFB servers on this machine.
#   compare.sh OUT.jsonl ROUNDS ENCODINGS WORKLOADS CANDIDATES...
# A candidate is a name below. Each turn starts a fresh X server and RFB server,
# measures, and ends exactly the processes it started. Everything listens on
# 127.0.0.1 only. EXTRA holds further flags of rfbbench, e.g. EXTRA="-dur 10s -no-cu".
set -u
here=$(cd "$(dirname "$0")" && pwd)
bench=${RFBBENCH:-$here/rfbbench}
out=$1 rounds=$2 encs=$3 loads=$4; shift 4
d=${DISPLAY_NUM:-61}; port=$((5900 + d)); log=${LOGDIR:-/tmp}

wait_for() { for _ in $(seq 100); do eval "$1" && return 0; sleep 0.1; done; echo "timed out: $1" >&2; return 1; }
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

end() { # a process of ours; x11vnc sometimes sleeps through SIGTERM
  kill "$1" 2>/dev/null
  for _ in $(seq 30); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
  kill -9 "$1" 2>/dev/null; wait "$1" 2>/dev/null
}

turn() { # candidate round encoding
  local xpid= pid= x0="X0tigervnc -display :$d -rfbport $port -localhost -SecurityTypes None"
  local x11="x11vnc -display :$d -rfbport $port -localhost -nopw -forever -shared -q"
  if [[ $1 != xvnc* ]]; then
    Xvfb :$d -screen 0 1920x1080x24 -ac -noreset -nolisten tcp >"$log/xvfb.log" 2>&1 & xpid=$!
    wait_for "[ -S /tmp/.X11-unix/X$d ]" || return
  fi
  case $1 in
    none) ;;
    xvnc) Xtigervnc :$d -geometry 1920x1080 -depth 24 -ac -noreset -nolisten tcp -rfbport $port -localhost -SecurityTypes None >"$log/$1.log" 2>&1 & pid=$! ;;
    x0) $x0 >"$log/$1.log" 2>&1 & pid=$! ;;
    xvnc-fr240) Xtigervnc :$d -FrameRate 240 -geometry 1920x1080 -depth 24 -ac -noreset -nolisten tcp -rfbport $port -localhost -SecurityTypes None >"$log/$1.log" 2>&1 & pid=$! ;;
    x0-fr240) $x0 -FrameRate 240 -PollingCycle 5 -MaxProcessorUsage 100 >"$log/$1.log" 2>&1 & pid=$! ;;
    x0-tuned) $x0 -PollingCycle 5 -MaxProcessorUsage 100 >"$log/$1.log" 2>&1 & pid=$! ;;
    x11vnc) $x11 >"$log/$1.log" 2>&1 & pid=$! ;;
    x11vnc-tuned) $x11 -wait 5 -defer 5 >"$log/$1.log" 2>&1 & pid=$! ;;
    ours) "${DESKSERVE:-$here/deskserve}" -display :$d -listen 127.0.0.1:$port >"$log/$1.log" 2>&1 & pid=$! ;; # go build -o bench/rfbbench/ ./bench/deskserve
    relayed) "$here/relayed.sh" :$d $port >"$log/$1.log" 2>&1 & pid=$! ;; # through TLS, server and relay; ./task build
    *) echo "unknown candidate $1" >&2; exit 2 ;;
  esac
  local addr=none
  if [ -n "$pid" ]; then
    addr=127.0.0.1:$port
    wait_for listening
    sleep 0.5
  fi
  "$bench" -addr $addr -display :$d -pid "$pid" -xpid "$xpid" -name "$1" -enc "$3" -round "$2" -workloads "$loads" -out "$out" ${EXTRA:-}
  for p in $pid $xpid; do end "$p"; done
  wait_for "[ ! -e /tmp/.X$d-lock ]"
}

for r in $(seq "$rounds"); do
  for e in ${encs//,/ }; do
    for c in "$@"; do turn "$c" "$r" "$e"; done
  done
done
"$bench" -table "$out"
