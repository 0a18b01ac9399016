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

# The kubelet watches this folder, and runs whatever appears in it; only names with a leading dot are left alone. So each
# step is one rename, from the same file system, of something that is complete.
folder=$destdir$plugins/plexvol~plexvol
install -d -m 0755 "$destdir$plugins"
if [[ -d $folder ]]; then
  install -m 0755 "$build/plexvol" "$folder/.plexvol.new"
  mv -fT "$folder/.plexvol.new" "$folder/plexvol"
else
  new=$destdir$plugins/.plexvol~plexvol.new
  rm -rf "$new"
  install -D -m 0755 "$build/plexvol" "$new/plexvol"
  mv -T "$new" "$folder"
fi

# For people: the same executable, found by a shell.
install -d -m 0755 "$destdir$prefix/bin"
ln -sfn "$plugins/plexvol~plexvol/plexvol" "$destdir$prefix/bin/plexvol"
