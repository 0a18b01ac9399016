#include "agent/controller/storage_class.h"

#include <doctest/doctest.h>

#include <string>

#include "agent/api/error.h"

using namespace plexvol;
using controller::ClassParameters;
using controller::parse_parameters;

namespace {

kube::StorageClass class_with(const kube::Words& parameters) {
  kube::StorageClass made;
  made.meta.name = "fast";
  made.provisioner = controller::kProvisioner;
  made.parameters = parameters;
  return made;
}

std::string refusal_of_class(const kube::Words& parameters) {
  try {
    parse_parameters(class_with(parameters));
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::InvalidArgument);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a class without parameters asks for one copy in the usual pool") {
  const ClassParameters parameters = parse_parameters(class_with({}));
  CHECK(parameters.copies == 1);
  CHECK(parameters.pool.empty());
  CHECK(parameters.fs_type.empty());
  CHECK(parameters.mount_options.empty());
}

TEST_CASE("all parameters of a class are taken") {
  kube::StorageClass wanted = class_with({{"copies", "2"},
                                          {"pool", "thin"},
                                          {"csi.storage.k8s.io/fstype", "xfs"},
                                          {"mkfsOptions", "-m reflink=1"},
                                          {"mountOptions", "noatime"}});
  wanted.mount_options = {"nodiratime", "discard"};
  const ClassParameters parameters = parse_parameters(wanted);
  CHECK(parameters.copies == 2);
  CHECK(parameters.pool == "thin");
  CHECK(parameters.fs_type == "xfs");
  CHECK(parameters.mkfs_options == "-m reflink=1");
  CHECK(parameters.mount_options == "nodiratime,discard,noatime");
}

TEST_CASE("fsType may be given by both of its names, when they agree") {
  CHECK(parse_parameters(class_with({{"fsType", "xfs"}})).fs_type == "xfs");
  CHECK(refusal_of_class({{"fsType", "xfs"}, {"csi.storage.k8s.io/fstype", "xfs"}}).empty());
  CHECK(refusal_of_class({{"fsType", "xfs"}, {"csi.storage.k8s.io/fstype", "ext4"}}) ==
        "StorageClass fast: parameters fsType and csi.storage.k8s.io/fstype contradict each other");
}

TEST_CASE("what a class may not ask for is named") {
  CHECK(refusal_of_class({{"replicas", "2"}}) ==
        "StorageClass fast: parameter \"replicas\" is unknown; known parameters: copies, "
        "csi.storage.k8s.io/fstype, fsType, mkfsOptions, mountOptions, pool");
  CHECK(refusal_of_class({{"copies", "3"}}) ==
        "StorageClass fast: parameter copies is \"3\": it must be 1 or 2");
  CHECK_FALSE(refusal_of_class({{"copies", "2 "}}).empty());
  CHECK(refusal_of_class({{"a\nb", ""}}).find('\n') == std::string::npos);
}
