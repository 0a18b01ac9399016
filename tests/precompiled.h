// The same for tests (agent/precompiled.h).
#pragma once

#include <doctest/doctest.h>

#include "agent/precompiled.h"
