// Kubernetes objects for people to read and change.
#pragma once

#include <string>

namespace plexvol::manifest {

// The JSON text of an object as one YAML document, without "---", with a line break at its end.
// Keys are in the order of the alphabet, so apiVersion, kind, metadata and spec are where they
// usually are. A string is in quotes where YAML 1.1 or 1.2 might read it as anything else. Only
// ASCII that prints is written; the rest is escaped. Meant for objects with strings, whole numbers
// and booleans, and keys of at most 1000 bytes. Throws InvalidArgument when the text is no JSON
// object, or nested deeper than 32.
std::string to_yaml(const std::string& json);

}  // namespace plexvol::manifest
