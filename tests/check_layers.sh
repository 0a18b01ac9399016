#!/usr/bin/env bash
# Who may include whom: includes point one way (README, "How it works"). A folder includes itself, and what it
# is listed with here. Test code may include everything.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

declare -A may_include=(
  [agent/base]=""
  [agent/api]=""
  [agent/model]="agent/base agent/api"
  [agent/mounts]="agent/base agent/api"
  [agent/mounting]="agent/base agent/api agent/mounts agent/log.h"
  [agent/process]="agent/base agent/api agent/mounts"
  [agent/lvm]="agent/base agent/api agent/process"
  [agent/drbd]="agent/base agent/api agent/process"
  [agent/filesystem]="agent/base agent/api agent/mounts agent/process"
  [agent/filepool]="agent/base agent/api agent/process"
  [agent/pods]="agent/base agent/api agent/process agent/log.h"
  [agent/store]="agent/base agent/api agent/model agent/log.h"
  [agent/arbiter]="agent/base agent/api agent/model agent/store agent/log.h"
  [agent/placement]="agent/base agent/api agent/model agent/drbd/metadata.h" # for the size of a copy, which is pure
  [agent/reconcile]="agent/base agent/api agent/model agent/mounting agent/mounts agent/process agent/lvm agent/drbd
                     agent/filesystem agent/filepool agent/pods agent/store agent/arbiter agent/placement
                     agent/log.h"
  # What a door's own words mean is for the door to know: no use case may include one.
  [agent/volumes]="agent/base agent/api agent/model agent/mounting agent/store agent/arbiter agent/placement
                   agent/filesystem/mkfs_options.h agent/pods/pods.h agent/log.h" # for their parsers, which are pure
  [agent/cluster]="agent/base agent/api agent/model agent/store agent/placement agent/volumes agent/log.h"
  [agent/flexvolume]="agent/base agent/api agent/model agent/volumes agent/filesystem/mount_options.h agent/log.h"
  [agent/commands]="agent/base agent/api agent/model agent/store agent/volumes agent/cluster"
  [agent/doctor]="agent/base agent/api agent/process agent/drbd agent/filesystem/features.h agent/pods/pods.h agent/store
                  agent/model agent/placement/promises.h agent/reconcile/pools.h"
  [agent/http]="agent/base agent/api agent/process agent/flexvolume agent/commands agent/log.h"
  [agent/client]="agent/base agent/api agent/mounts"
  [agent/kube]="agent/base agent/api agent/log.h"
  [agent/view]="agent/base agent/api"
  [agent/controller]="agent/base agent/api agent/client agent/kube agent/manifest agent/view agent/log.h"
  [agent/manifest]="agent/base agent/api"
  [flexdriver]="agent/base agent/api agent/client agent/manifest agent/mounts"
)

status=0
while IFS=: read -r file line text; do
  folder=$(dirname "$file")
  [[ $folder == agent ]] && continue # main, config and log wire everything
  [[ $folder == flexdriver/* ]] && folder=flexdriver
  if [[ ! -v may_include[$folder] ]]; then
    echo "$file:$line: $folder is no folder that tests/check_layers.sh knows"
    status=1
    continue
  fi
  included=$(sed -E 's/.*"([^"]+)".*/\1/' <<< "$text")
  for allowed in "$folder" ${may_include[$folder]}; do
    [[ $included == "$allowed" || $included == "$allowed"/* ]] && continue 2
  done
  [[ $folder == agent/store && $included == agent/store/*.pb.h ]] && continue
  echo "$file:$line: $folder may not include $included"
  status=1
done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' agent flexdriver --include='*.cpp' --include='*.h')

# Costly or low-level headers have one home each.
one_home() { # header pattern, home pattern
  local found
  found=$(grep -rnE "#[[:space:]]*include[[:space:]]*<$1" agent flexdriver --include='*.cpp' --include='*.h' |
    grep -vE "^$2" || true)
  [[ -z $found ]] || { echo "$found: belongs into $2 only"; status=1; }
}
one_home 'boost/beast' 'agent/http/message\.cpp'
one_home 'boost/process' 'agent/process/'
one_home 'grpc' 'agent/(store/etcd_|pods/runtime)'
one_home 'CLI/' '(agent/config\.cpp|agent/controller/settings\.cpp|flexdriver/)'
one_home 'curl/' 'agent/kube/transport\.cpp'
one_home 'spdlog/' 'agent/log\.cpp'

# Whoever needs a descriptor must not pay for a library.
while IFS= read -r found; do
  echo "$found: agent/base includes headers of the system and of C++ only"
  status=1
done < <(grep -rnE '#[[:space:]]*include[[:space:]]*<(boost|nlohmann|spdlog|CLI|grpc|google|blkid)' agent/base)

# One text for an error number: strerror's follows the locale, and strerrordesc_np's may be none.
while IFS= read -r found; do
  echo "$found: use base::error_text"
  status=1
done < <(grep -rnE '\bstrerror|generic_category\(\)\.message|system_category\(\)\.message' agent flexdriver \
  --include='*.cpp' --include='*.h' | grep -v '^agent/base/')

# What a child has to do first is known where it is forked.
while IFS= read -r found; do
  echo "$found: use base::fork_child"
  status=1
done < <(grep -rnE '(^|[^_[:alnum:]])(::)?v?fork\(' agent flexdriver --include='*.cpp' --include='*.h' |
  grep -v '^agent/base/fork.cpp')

# What a volume is built of is for its stack to know; others ask for copies, or for what a layer does.
while IFS= read -r found; do
  echo "$found: ask agent/reconcile/stack.h, or for the number of copies"
  status=1
done < <(grep -rnE '\bmirrored\(\)' agent --include='*.cpp' --include='*.h' |
  grep -vE '^agent/(model/|reconcile/stack\.cpp)')

# A door's words stay in the door, in what it shares with the driver, and where the doors are wired.
while IFS= read -r found; do
  echo "$found: FlexVolume's words belong into agent/flexvolume only"
  status=1
done < <(grep -rnE 'FlexVolume|kubernetes\.io/' agent --include='*.cpp' --include='*.h' |
  grep -vE '^agent/(flexvolume/|controller/|kube/|manifest/|api/protocol\.h|http/routes\.|main\.cpp)')
exit $status
