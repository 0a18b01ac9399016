// The settings of each part of the agent, from its configuration.
#pragma once

#include <string>

#include "agent/config.h"
#include "agent/drbd/drbd.h"
#include "agent/filesystem/filesystem.h"
#include "agent/http/server.h"
#include "agent/mounting/ended_pods.h"
#include "agent/mounting/mount_calls.h"
#include "agent/mounting/pod_directories.h"
#include "agent/pods/pods.h"
#include "agent/reconcile/mirroring.h"
#include "agent/reconcile/node_report.h"
#include "agent/reconcile/own_address.h"
#include "agent/reconcile/reconciler.h"
#include "agent/reconcile/workers.h"
#include "agent/volumes/settings.h"

namespace plexvol {

// The file that says which program DRBD asked before us.
std::string helper_memory(const Config& config);
mounting::PodDirectorySettings directory_settings(const Config& config, const pods::Pods& pods,
                                                  const mounting::MountCalls& calls,
                                                  reconcile::Queue& queue);
mounting::EndedPodSettings ended_pod_settings(const Config& config, const pods::Pods& pods,
                                              const mounting::MountCalls& calls,
                                              reconcile::Queue& queue);
reconcile::ReconcilerSettings reconciler_settings(const Config& config, const std::string& session,
                                                  reconcile::NodeReport& report,
                                                  reconcile::Queue& queue,
                                                  const mounting::PodDirectories& directories,
                                                  const mounting::EndedPods& ended);
pods::Settings pods_settings(const Config& config);
volumes::Settings volume_settings(const Config& config, const std::string& session,
                                  filesystem::Filesystem& filesystem, reconcile::Queue& queue,
                                  mounting::PodDirectories& directories, drbd::Drbd& drbd);
http::Settings server_settings(const Config& config);
drbd::Settings drbd_settings(const Config& config);
reconcile::MirroringSettings mirroring_settings(const Config& config,
                                                const reconcile::OwnAddress& address);
reconcile::WorkerSettings worker_settings(const Config& config, reconcile::Reconciler& reconciler,
                                          mounting::PodDirectories& directories,
                                          mounting::EndedPods& ended);
reconcile::NodeReportSettings report_settings(const Config& config, const std::string& session,
                                              reconcile::OwnAddress& address,
                                              reconcile::Mirroring& mirroring);

}  // namespace plexvol
