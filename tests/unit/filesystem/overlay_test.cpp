#include "agent/filesystem/overlay.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using plexvol::filesystem::find_layers;
using plexvol::filesystem::parse_layers;
using plexvol::mounts::MountEntry;
using Words = std::vector<std::string>;

namespace {

bool has(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

MountEntry overlay(const std::string& mount_point, const std::string& options) {
  MountEntry entry;
  entry.mount_point = mount_point;
  entry.fs_type = "overlay";
  entry.super_options = options;
  return entry;
}

}  // namespace

TEST_CASE("overlay: its layers are named by its options [D3]") {
  CHECK(parse_layers("rw,lowerdir=/a:/b/c,upperdir=/u,workdir=/w,xino=off") ==
        Words{"/a", "/b/c", "/u", "/w"});
  // Kernels from 6.8 on, and data-only layers.
  CHECK(parse_layers("ro,lowerdir+=/a,lowerdir+=/b,datadir+=/d") == Words{"/a", "/b", "/d"});
  CHECK(parse_layers("rw,lowerdir=/a::/d") == Words{"/a", "/d"});
  CHECK(parse_layers("rw,context=lowerdir").empty());
  CHECK(parse_layers("").empty());
}

TEST_CASE("overlay: escapes are undone in whichever way the kernel has made them [D3]") {
  // Kernels before 6.5 show what was given to mount(8), with its own escapes escaped.
  const auto old = parse_layers(R"(lowerdir=/a\134:b:/c\134\054d,upperdir=/u\040x\134\054y)");
  CHECK(has(old, "/a:b"));
  CHECK(has(old, "/c,d"));
  CHECK(has(old, "/u x,y"));
  // Newer ones show the names.
  const auto recent = parse_layers(R"(lowerdir=/a\072b:/c\054d:/e\134:/f)");
  CHECK(has(recent, "/a:b"));
  CHECK(has(recent, "/c,d"));
  CHECK(has(recent, "/e\\"));
  CHECK(has(recent, "/f"));
}

TEST_CASE("overlay: relative layers lie where a container runtime has shortened them [D3]") {
  const auto docker =
      find_layers(overlay("/var/lib/docker/overlay2/ID/merged",
                          "rw,lowerdir=l/AB:l/CD,upperdir=ID/diff,workdir=ID/work"));
  CHECK(docker.complete);
  CHECK(has(docker.paths, "/var/lib/docker/overlay2/ID/diff"));
  CHECK(has(docker.paths, "/var/lib/docker/overlay2/l/AB"));
  const auto containerd =
      find_layers(overlay("/run/rootfs", "rw,lowerdir=2/fs:1/fs,upperdir=/s/3/fs,workdir=/s/3/w"));
  CHECK(containerd.complete);
  CHECK(containerd.paths == Words{"/s/3/fs", "/s/3/w"});
}

TEST_CASE("overlay: where layers lie that nothing tells of is not guessed [D3]") {
  CHECK_FALSE(find_layers(overlay("/merged", "rw,lowerdir=a,upperdir=b,workdir=c")).complete);
  CHECK_FALSE(find_layers(overlay("/merged", "rw")).complete);
  MountEntry cut = overlay("/merged", "rw,lowerdir=/a");
  cut.is_cut = true;
  CHECK_FALSE(find_layers(cut).complete);
}
