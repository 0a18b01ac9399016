#include "agent/kube/source.h"

#include <fmt/core.h>

#include "agent/api/error.h"

namespace plexvol::kube {

namespace {

Meta read_meta(const Fields& fields) {
  Meta meta;
  meta.ns = fields.text("namespace");
  meta.name = fields.text("name");
  meta.uid = fields.text("uid");
  meta.resource_version = fields.text("resourceVersion");
  meta.labels = fields.words("labels");
  meta.annotations = fields.words("annotations");
  meta.finalizers = fields.texts("finalizers");
  meta.deleted_at = fields.text("deletionTimestamp");
  meta.created_at = fields.text("creationTimestamp");
  return meta;
}

}  // namespace

Source read_source(const char* kind, const std::string& text) {
  Source source{parse_object(text, kind), {}, kind};
  const auto meta = source.json.find("metadata");
  if (meta != source.json.end()) {
    const std::string name = text_or_empty(*meta, "name");
    const std::string ns = text_or_empty(*meta, "namespace");
    source.subject = fmt::format("{} {}{}{}", kind, ns, ns.empty() ? "" : "/", name);
  }
  source.meta = read_meta(source.part("metadata"));
  if (source.meta.name.empty()) {
    throw Error(ErrorCode::Internal, fmt::format("{}: metadata.name is missing", kind));
  }
  return source;
}

}  // namespace plexvol::kube
