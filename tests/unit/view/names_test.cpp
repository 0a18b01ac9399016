#include "agent/view/names.h"

#include <doctest/doctest.h>

#include "agent/api/error.h"
#include "agent/api/names.h"

using namespace plexvol;

TEST_CASE("a volume's object has the volume's name where that can be") {
  CHECK(view::object_name("db-1") == "db-1");
  CHECK(view::object_name("pvc-0e3a7b52-5d6c-4f0e-9a51-7c1de22a9b10") ==
        "pvc-0e3a7b52-5d6c-4f0e-9a51-7c1de22a9b10");
  CHECK(view::object_name("a.b") == "a.b");
}

TEST_CASE("other names are made ones that an object can have, each its own") {
  const std::string longest(63, 'A');
  for (const std::string& name :
       {std::string("My_Vol"), std::string("a.-b"), std::string("a_b"), longest}) {
    CAPTURE(name);
    CHECK_NOTHROW(check_node_name(view::object_name(name)));
    CHECK(view::object_name(name) != view::object_name(name + "x"));
  }
  CHECK(view::object_name("My_Vol") != view::object_name("my_vol"));
  CHECK(view::object_name("a_b") == view::object_name("a_b"));
}
