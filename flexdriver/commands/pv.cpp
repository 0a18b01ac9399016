#include <memory>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/api/protocol.h"
#include "agent/api/text.h"
#include "agent/manifest/persistent_volume.h"
#include "agent/manifest/yaml.h"
#include "flexdriver/commands/context.h"

namespace plexvol::driver {

namespace {

using manifest::PersistentVolumeSpec;

constexpr const char* kHostname = "kubernetes.io/hostname";

struct PvOptions {
  std::string volume;
  std::string pv_name;
  std::string claim;
  std::vector<std::string> access_modes = {"ReadWriteOnce"};
  std::string storage_class;
  std::string output = "yaml";
};

// Kubernetes' rule for these names is that for a node's.
bool is_object_name(const std::string& name) {
  try {
    check_node_name(name);
    return true;
  } catch (const Error&) {
    return false;
  }
}

void check_object_name(const char* what, const std::string& name, const std::string& advice = {}) {
  if (is_object_name(name)) return;
  throw Error(ErrorCode::InvalidArgument,
              in_quotes(name) + " cannot be the name of a " + what +
                  ": allowed are lower-case letters, digits, '-' and '.'" + advice);
}

struct Claim {
  std::string ns;
  std::string name;
};

// Empty: none.
Claim parse_claim(const std::string& text) {
  if (text.empty()) return {};
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos) {
    throw Error(ErrorCode::InvalidArgument,
                "--claim " + in_quotes(text) + ": expected NAMESPACE/NAME");
  }
  Claim claim{.ns = text.substr(0, slash), .name = text.substr(slash + 1)};
  check_namespace(claim.ns);
  check_object_name("claim", claim.name);
  return claim;
}

void check_volume(const api::VolumeInfo& volume, const Claim& claim) {
  if (volume.deleting) {
    throw Error(ErrorCode::Conflict, "volume " + volume.name + " is being deleted");
  }
  if (volume.size_bytes == 0 || volume.replicas.empty()) {
    throw Error(ErrorCode::Conflict, "volume " + volume.name +
                                         ": its size or its nodes are not known; see `plexvol "
                                         "volume show " +
                                         volume.name + '`');
  }
  const bool is_owned = !volume.tenant.empty() && volume.tenant != api::kAnyNamespace;
  if (claim.name.empty() || !is_owned || volume.tenant == claim.ns) return;
  throw Error(ErrorCode::Conflict, "volume " + volume.name + " belongs to namespace " +
                                       volume.tenant + ", and the claim is in " + claim.ns +
                                       "; to change that: plexvol volume set " + volume.name +
                                       " --namespace " + claim.ns);
}

PersistentVolumeSpec to_spec(const api::VolumeInfo& volume, const PvOptions& options,
                             const Claim& claim) {
  PersistentVolumeSpec spec;
  spec.name = options.pv_name.empty() ? volume.name : options.pv_name;
  spec.size_bytes = volume.size_bytes;
  spec.fs_type = volume.fs_type;
  spec.options = {{"volume", volume.name}};
  spec.access_modes = options.access_modes;
  spec.storage_class = options.storage_class;
  spec.claim_namespace = claim.ns;
  spec.claim_name = claim.name;
  spec.affinity = {{.label = kHostname, .values = {}}};
  for (const api::ReplicaInfo& replica : volume.replicas) {
    spec.affinity.front().values.push_back(replica.node);
  }
  return spec;
}

std::string to_yaml_documents(const PersistentVolumeSpec& spec) {
  std::string text =
      "# nodeAffinity names the nodes that have a copy now. Copies may move to other nodes, but\n"
      "# nodeAffinity cannot be changed afterwards: then delete the claim and this object (the "
      "data\n"
      "# stays), and apply what `plexvol pv` prints.\n";
  text += manifest::to_yaml(manifest::to_json(spec));
  if (!spec.claim_name.empty()) text += "---\n" + manifest::to_yaml(manifest::claim_to_json(spec));
  return text;
}

std::string to_json_document(const PersistentVolumeSpec& spec) {
  std::string volume = manifest::to_json(spec);
  if (spec.claim_name.empty()) return volume;
  return R"({"apiVersion":"v1","kind":"List","items":[)" + volume + ',' +
         manifest::claim_to_json(spec) + "]}";
}

void print_pv(const PvOptions& options, const CommandContext& context) {
  const Claim claim = parse_claim(options.claim);
  if (!options.storage_class.empty()) check_object_name("StorageClass", options.storage_class);
  check_object_name("PersistentVolume", options.pv_name.empty() ? options.volume : options.pv_name,
                    "; choose another by --pv-name");
  const auto volume = api::from_json<api::VolumeInfo>(
      context.ask(api::kVolumeShowPath, api::to_json(api::VolumeNameRequest{options.volume})));
  check_volume(volume, claim);
  const PersistentVolumeSpec spec = to_spec(volume, options, claim);
  const bool json = options.output == "json" || context.options().json();
  print_line(json ? to_json_document(spec) : to_yaml_documents(spec));
}

}  // namespace

void add_pv_command(CLI::App& app, const CommandContext& context) {
  CLI::App* noun =
      app.add_subcommand("pv", "print a volume as a PersistentVolume, to be given to kubectl");
  noun->footer(
      "For clusters without plexvol-controller, which makes such objects by itself.\n"
      "Examples:\n"
      "  plexvol pv data | kubectl apply -f -\n"
      "  plexvol pv data --claim shop/orders | kubectl apply -f -");
  const auto options = std::make_shared<PvOptions>();
  noun->add_option("NAME", options->volume, "the volume")->required();
  noun->add_option("--claim", options->claim,
                   "NAMESPACE/NAME of the only claim that gets it, which is printed as well");
  noun->add_option("--pv-name", options->pv_name,
                   "name of the PersistentVolume; default: the volume's");
  noun->add_option("--access-mode", options->access_modes,
                   "what claims may ask for; it is mounted on one node at a time in any case")
      ->check(CLI::IsMember({"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"}))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  noun->add_option("--storage-class", options->storage_class,
                   "class that claims have to name; default: none");
  noun->add_option("-o,--output", options->output, "yaml (default) or json")
      ->check(CLI::IsMember({"yaml", "json"}));
  noun->callback([options, &context] { print_pv(*options, context); });
}

}  // namespace plexvol::driver
