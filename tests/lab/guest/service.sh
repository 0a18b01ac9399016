#!/bin/busybox sh
# Background programs of a machine. /persist/service/NAME is a shell script ending in exec; init.sh starts each of
# them at every boot.
#   service.sh start NAME         starts it
#   service.sh end NAME SIGNAL    sends the signal and waits until it is gone
#   service.sh become NAME        is it

bb=/bin/busybox
pid_file=/run/plexlab/$2.pid

running() {
  [ -e "$pid_file" ] && read -r pid <"$pid_file" && [ -d "/proc/$pid" ]
}

case $1 in
  start)
    running && echo "$2 runs already" >&2 && exit 1
    $bb setsid $bb sh "$0" become "$2" </dev/null >>"/persist/log/$2.log" 2>&1 &
    echo $! >"$pid_file"
    ;;
  become) exec /bin/sh "/persist/service/$2" ;;
  end)
    running || exit 0
    kill -s "$3" "$pid"
    while [ -d "/proc/$pid" ]; do $bb sleep 0.02; done
    ;;
esac
