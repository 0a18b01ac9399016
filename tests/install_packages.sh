#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing, and nothing else; no service of theirs is started.
set -euo pipefail

missing=()
declare -A installed=()
while read -r name status; do
  [[ $status == installed ]] && installed[$name]=1
done < <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2> /dev/null || true)
for package in "$@"; do
  [[ -v installed[$package] ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

echo "  install  ${missing[*]}"
if [[ $(id -u) -ne 0 ]]; then
  echo "These packages are missing, and only root can install them: apt-get install ${missing[*]}" >&2
  exit 1
fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
our_policy=""
trap 'rm -f "$log" $our_policy' EXIT
# Debian's way to say that packages must not start their services now.
if [[ ! -e $policy ]]; then
  our_policy=$policy
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
fi

quietly() { "$@" < /dev/null > "$log" 2>&1; }
install() { DEBIAN_FRONTEND=noninteractive quietly apt-get install -y --no-install-recommends "${missing[@]}"; }
complain() {
  cat "$log" >&2
  exit 1
}
# The lists are fetched only when they are missing or too old to install from.
if ! quietly apt-cache show "${missing[@]}" || ! install; then
  quietly apt-get update || complain
  install || complain
fi
