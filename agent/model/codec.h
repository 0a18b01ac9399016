// The store's values as JSON text and back.
//
// Decoding keeps the members that it does not know, for to_json to write them again. A member that
// is missing has its struct's default, but for those that a safety rule rests on. Throws
// Error(Internal), naming the member, when one of those is missing, or one has a value that is none
// of its kind: what cannot be read is never taken for empty.
#pragma once

#include <string>

#include "agent/model/model.h"

namespace plexvol::model {

std::string to_json(const Volume& volume);
std::string to_json(const Current& current);
std::string to_json(const History& history);
std::string to_json(const Acted& acted);
std::string to_json(const RolledBack& turned);
std::string to_json(const Attachment& attachment);
std::string to_json(const Status& status);
std::string to_json(const Node& node);
std::string to_json(const Cordon& cordon);
std::string to_json(const Tenant& tenant);
std::string to_json(const Schema& schema);
std::string to_json(const Machine& machine);

template <class T>
T from_json(const std::string& text);
template <>
Volume from_json<Volume>(const std::string& text);
template <>
Current from_json<Current>(const std::string& text);
template <>
History from_json<History>(const std::string& text);
template <>
Acted from_json<Acted>(const std::string& text);
template <>
RolledBack from_json<RolledBack>(const std::string& text);
template <>
Attachment from_json<Attachment>(const std::string& text);
template <>
Status from_json<Status>(const std::string& text);
template <>
Node from_json<Node>(const std::string& text);
template <>
Cordon from_json<Cordon>(const std::string& text);
template <>
Tenant from_json<Tenant>(const std::string& text);
template <>
Schema from_json<Schema>(const std::string& text);
template <>
Machine from_json<Machine>(const std::string& text);

}  // namespace plexvol::model
