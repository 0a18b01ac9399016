#include "agent/store/keys.h"

namespace plexvol::store::keys {

std::string node(const std::string& node) {
  return "nodes/" + node;
}
std::string alive(const std::string& node) {
  return "alive/" + node;
}
std::string machine(const std::string& node) {
  return "machines/" + node;
}
std::string cordon_prefix() {
  return "cordons/";
}
std::string cordon(const std::string& node) {
  return cordon_prefix() + node;
}
std::string volume(const std::string& volume) {
  return "volumes/" + volume;
}
std::string assigned_prefix(const std::string& node) {
  return "assigned/" + node + "/";
}
std::string assigned(const std::string& node, const std::string& volume) {
  return assigned_prefix(node) + volume;
}
std::string current_prefix() {
  return "current/";
}
std::string current(const std::string& volume) {
  return current_prefix() + volume;
}
std::string history(const std::string& volume) {
  return "history/" + volume;
}
std::string attachment(const std::string& volume) {
  return "attachments/" + volume;
}
std::string status_prefix() {
  return "status/";
}
std::string status(const std::string& node, const std::string& volume) {
  return status_prefix() + node + "/" + volume;
}
std::string name(const std::string& node, const std::string& name) {
  return "names/" + node + "/" + name;
}
std::string slot_prefix() {
  return "slots/";
}
std::string slot(unsigned slot) {
  return slot_prefix() + std::to_string(slot);
}
std::string next_slot() {
  return "slots-next";
}
std::string tenant(const std::string& volume) {
  return "tenants/" + volume;
}
std::string placement(const std::string& node) {
  return "placements/" + node;
}
std::string acted_prefix(const std::string& node) {
  return "acted/" + node + "/";
}
std::string acted(const std::string& node, const std::string& volume) {
  return acted_prefix(node) + volume;
}
std::string acted_all(const std::string& node) {
  return "acted-all/" + node;
}
std::string rolled_back() {
  return "store/rolled-back";
}
std::string schema() {
  return "schema";
}

}  // namespace plexvol::store::keys
