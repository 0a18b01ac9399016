#!/usr/bin/env bash
# What `make install` does: install.sh DESTDIR PREFIX PLUGINS BUILD. Run again, it upgrades; a configuration stays as it is.
set -euo pipefail
destdir=$1 prefix=$2 plugins=$3 build=$4
here=$(dirname "$0")

install -D -m 0755 "$build/plexvold" "$destdir$prefix/sbin/plexvold"
sed "s|@PREFIX@|$prefix|" "$here/plexvold.service" |
  install -D -m 0644 /dev/stdin "$destdir$prefix/lib/systemd/system/plexvold.service"
config=$destdir/etc/plexvol/plexvold.json
[[ -e $config ]] || sed "s|@PLUGINS@|$plugins|" "$here/plexvold.json" | install -D -m 0644 /dev/stdin "$config"

"$build/plexvol" driver install --root "$destdir" --plugin-dir "$plugins"

# For people: the same executable, found by a shell.
install -d -m 0755 "$destdir$prefix/bin"
ln -sfn "$plugins/plexvol~plexvol/plexvol" "$destdir$prefix/bin/plexvol"
