#include "agent/process/proc.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>

using plexvol::process::parse_stat;

TEST_CASE("the stat line of a process is read past any command name") {
  const auto stat = parse_stat(
      "4711 (a ) R (b) D 1 4700 4700 0 -1 4194560 100 0 2 0 7 20 300 4000 20 0 1 0 12345 0 0\n");
  REQUIRE(stat.has_value());
  CHECK(stat->state == 'D');
  CHECK(stat->group == 4700);
  CHECK(stat->cpu_ticks == 4327);
  CHECK(stat->start_time == 12345);
}

TEST_CASE("what is no stat line is none") {
  CHECK_FALSE(parse_stat("").has_value());
  CHECK_FALSE(parse_stat("4711 (x) R 1 2").has_value());
}

TEST_CASE("what is gone reads as empty") {
  CHECK(plexvol::process::read_text_file("/no/such/file").empty());
  CHECK(plexvol::process::read_link("/no/such/link").empty());
  CHECK(plexvol::process::list_descriptors(-1).empty());
}

TEST_CASE("this process is among the processes, with its descriptors and its group") {
  const auto pids = plexvol::process::list_processes();
  CHECK(std::find(pids.begin(), pids.end(), getpid()) != pids.end());
  const auto descriptors = plexvol::process::list_descriptors(getpid());
  CHECK(std::find(descriptors.begin(), descriptors.end(), 1) != descriptors.end());
  const auto before = plexvol::process::read_group(getpgrp());
  CHECK(std::find(before.members.begin(), before.members.end(), getpid()) != before.members.end());
  // Reading /proc is work, too.
  CHECK(plexvol::process::read_group(getpgrp()).work_done != before.work_done);
}
