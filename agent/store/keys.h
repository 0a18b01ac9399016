// What the store's keys look like. Nobody else builds them.
#pragma once

#include <string>

namespace plexvol::store::keys {

std::string node(const std::string& node);
std::string alive(const std::string& node);
// machines/<node>: which machine goes by the node's name. A key of its own: agents of 0.1.0 drop
// the members of nodes/<node> that they do not know.
std::string machine(const std::string& node);
std::string cordon(const std::string& node);
std::string cordon_prefix();
std::string volume(const std::string& volume);
std::string assigned(const std::string& node, const std::string& volume);
std::string assigned_prefix(const std::string& node);
std::string current(const std::string& volume);
// history/<volume>: which changes made the set. A key of its own: agents of 0.1.0 drop the members
// of current/<volume> that they do not know.
std::string history(const std::string& volume);
std::string current_prefix();
std::string attachment(const std::string& volume);
std::string status(const std::string& node, const std::string& volume);
std::string status_prefix();
// names/<node>/<PV or pod volume name>: which volume it is, for detach, which is told nothing else.
std::string name(const std::string& node, const std::string& name);
// slots/<n>: the volume that has DRBD minor and port number n. slots-next: where the search for a
// free one begins, so that a number is not used again soon.
std::string slot(unsigned slot);
std::string slot_prefix();
std::string next_slot();
std::string tenant(const std::string& volume);
// placements/<node>: changes whenever a copy is placed there, so that of two volumes that were
// placed by the same look only one is recorded.
std::string placement(const std::string& node);
// acted/<node>/<volume>: model::Acted.
std::string acted(const std::string& node, const std::string& volume);
std::string acted_prefix(const std::string& node);
// acted-all/<node>: the revision of rolled_back() for which all of acted/<node>/ was written.
std::string acted_all(const std::string& node);
// model::RolledBack.
std::string rolled_back();
// Which agents may write: model::Schema.
std::string schema();

}  // namespace plexvol::store::keys
