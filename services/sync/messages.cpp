#include "services/sync/messages.hpp"

#include "services/sync/path.hpp"

#include <sys/stat.h>

#include <limits>
#include <utility>

namespace trunkline::sync {
namespace {

constexpr std::uint32_t nanoseconds_per_second = 1'000'000'000;
constexpr std::size_t bytes_of_place = 2; // what is known of every entry of a listing

Failure::Kind from_wire(wire::Failed::Kind kind) {
  switch (kind) {
    case wire::Failed::FILE: return Failure::Kind::file;
    case wire::Failed::DENIED: return Failure::Kind::denied;
    case wire::Failed::ENDING: return Failure::Kind::ending;
    default: return Failure::Kind::protocol;
  }
}

wire::Failed::Kind to_wire(Failure::Kind kind) {
  switch (kind) {
    case Failure::Kind::file: return wire::Failed::FILE;
    case Failure::Kind::denied: return wire::Failed::DENIED;
    case Failure::Kind::ending: return wire::Failed::ENDING;
    case Failure::Kind::protocol: break;
  }
  return wire::Failed::PROTOCOL;
}

} // namespace

void to_wire(const Entry& entry, wire::Entry& into) {
  into.set_path(entry.path);
  switch (entry.type) {
    case EntryType::file: into.set_type(wire::Entry::FILE); break;
    case EntryType::directory: into.set_type(wire::Entry::DIRECTORY); break;
    case EntryType::symlink: into.set_type(wire::Entry::SYMLINK); break;
    case EntryType::other: into.set_type(wire::Entry::SPECIAL); break;
  }
  into.set_size(entry.size);
  into.set_mtime_seconds(entry.mtime.seconds);
  into.set_mtime_nanoseconds(entry.mtime.nanoseconds);
  into.set_mode(entry.mode);
  into.set_target(entry.target);
  into.set_owner(entry.owner);
  into.set_group(entry.group);
  into.set_special_mode(entry.special_mode);
  into.set_device(entry.device);
  into.set_same_as(entry.same_as);
  into.set_has_names(entry.has_names);
  into.set_xattrs(entry.xattrs);
}

void to_wire(const Options& options, wire::Request& into) {
  into.set_checksum(options.checksum);
  into.set_delete_extra(options.delete_extra);
  into.set_dry_run(options.dry_run);
  for (const Rule& rule : options.rules) {
    wire::Rule& to = *into.add_rules();
    to.set_kind(static_cast<wire::Rule::Kind>(rule.kind));
    to.set_pattern(rule.pattern);
    to.set_not_for_giver(!rule.for_giver);
    to.set_not_for_taker(!rule.for_taker);
    to.set_negated(rule.negated);
    to.set_perishable(rule.perishable);
    to.set_not_inherited(!rule.inherited);
    to.set_hides_file(rule.hides_file);
  }
  into.set_delete_excluded(options.delete_excluded);
  into.set_has_only(options.only.has_value());
  if (options.only)
    for (const std::string& path : *options.only) into.add_only(path);
  into.set_one_file_system(options.one_file_system);
  if (options.size_max) into.set_size_max(*options.size_max);
  if (options.size_min) into.set_size_min(*options.size_min);
  into.set_update(options.update);
  into.set_existing(options.existing);
  into.set_ignore_existing(options.ignore_existing);
  if (options.deletions_max) into.set_deletions_max(*options.deletions_max);
  into.set_backup(options.backup);
  into.set_backup_suffix(options.backup_suffix);
  into.set_backup_dir(options.backup_dir);
  into.set_link_dest(options.link_dest);
  into.set_in_place(options.in_place);
  into.set_append(options.append);
  into.set_compress(options.compress);
  into.set_rate_max(options.rate_max);
  into.set_owner(options.owner);
  into.set_group(options.group);
  into.set_numeric_ids(options.numeric_ids);
  into.set_all_mode_bits(options.all_mode_bits);
  into.set_hard_links(options.hard_links);
  into.set_acls(options.acls);
  into.set_xattrs(options.xattrs);
  into.set_devices(options.devices);
  for (const std::string& chmod : options.chmod) into.add_chmod(chmod);
  into.set_chown_user(options.chown_user);
  into.set_chown_group(options.chown_group);
}

void to_wire(const Note& note, wire::Note& into) {
  into.set_kind(static_cast<wire::Note::Kind>(note.kind));
  into.set_path(note.path);
  into.set_bytes(note.bytes);
  into.set_text(note.text);
  into.set_type(static_cast<wire::Entry::Type>(note.type));
  into.set_changes(note.changes);
}

void to_wire(const Report& report, wire::Done& into) {
  into.set_files(report.files);
  into.set_bytes(report.bytes);
  into.set_directories(report.directories);
  into.set_symlinks(report.symlinks);
  into.set_attributes(report.attributes);
  into.set_deleted(report.deleted);
  into.set_unchanged(report.unchanged);
  into.set_skipped(report.skipped);
  into.set_errors(report.errors);
  into.set_vanished(report.vanished);
  into.set_warnings(report.warnings);
  into.set_passed_over(report.passed_over);
  into.set_not_deleted(report.not_deleted);
  into.set_linked(report.linked);
  into.set_files_new(report.files_new);
  into.set_bytes_matched(report.bytes_matched);
  into.set_specials(report.specials);
  to_wire(report.not_kept, *into.mutable_not_kept());
}

void to_wire(const NotKept& counts, wire::NotKept& into) {
  into.set_owners(counts.owners);
  into.set_hard_links(counts.hard_links);
  into.set_xattrs(counts.xattrs);
  into.set_acls(counts.acls);
  into.set_mode_bits(counts.mode_bits);
  into.set_specials(counts.specials);
}

Note from_wire(const wire::Note& from) {
  Note note;
  note.kind = wire::Note::Kind_IsValid(from.kind()) ? static_cast<Note::Kind>(from.kind()) : Note::Kind::skipped;
  note.path = from.path();
  note.bytes = from.bytes();
  note.text = from.text();
  if (wire::Entry::Type_IsValid(from.type())) note.type = static_cast<EntryType>(from.type());
  note.changes = static_cast<std::uint8_t>(from.changes());
  return note;
}

Options from_wire(const wire::Request& from) {
  Options options;
  options.checksum = from.checksum();
  options.delete_extra = from.delete_extra();
  options.dry_run = from.dry_run();
  for (const wire::Rule& rule : from.rules()) {
    if (!wire::Rule::Kind_IsValid(rule.kind()))
      throw_protocol("a filter rule of the unknown kind " + std::to_string(rule.kind()));
    Rule to;
    to.kind = static_cast<Rule::Kind>(rule.kind());
    to.pattern = rule.pattern();
    to.for_giver = !rule.not_for_giver();
    to.for_taker = !rule.not_for_taker();
    to.negated = rule.negated();
    to.perishable = rule.perishable();
    to.inherited = !rule.not_inherited();
    to.hides_file = rule.hides_file();
    options.rules.push_back(std::move(to));
  }
  options.delete_excluded = from.delete_excluded();
  if (from.has_only()) options.only.emplace(from.only().begin(), from.only().end());
  options.one_file_system = from.one_file_system();
  if (from.has_size_max()) options.size_max = from.size_max();
  if (from.has_size_min()) options.size_min = from.size_min();
  options.update = from.update();
  options.existing = from.existing();
  options.ignore_existing = from.ignore_existing();
  if (from.has_deletions_max()) options.deletions_max = from.deletions_max();
  options.backup = from.backup();
  options.backup_suffix = from.backup_suffix();
  options.backup_dir = from.backup_dir();
  options.link_dest = from.link_dest();
  options.in_place = from.in_place();
  options.append = from.append();
  options.compress = from.compress();
  options.rate_max = from.rate_max();
  options.owner = from.owner();
  options.group = from.group();
  options.numeric_ids = from.numeric_ids();
  options.all_mode_bits = from.all_mode_bits();
  options.hard_links = from.hard_links();
  options.acls = from.acls();
  options.xattrs = from.xattrs();
  options.devices = from.devices();
  options.chmod.assign(from.chmod().begin(), from.chmod().end());
  options.chown_user = from.chown_user();
  options.chown_group = from.chown_group();
  return options;
}

Report from_wire(const wire::Done& done) {
  Report report;
  report.files = done.files();
  report.bytes = done.bytes();
  report.directories = done.directories();
  report.symlinks = done.symlinks();
  report.attributes = done.attributes();
  report.deleted = done.deleted();
  report.unchanged = done.unchanged();
  report.skipped = done.skipped();
  report.errors = done.errors();
  report.vanished = done.vanished();
  report.warnings = done.warnings();
  report.passed_over = done.passed_over();
  report.not_deleted = done.not_deleted();
  report.linked = done.linked();
  report.files_new = done.files_new();
  report.bytes_matched = done.bytes_matched();
  report.specials = done.specials();
  report.not_kept = from_wire(done.not_kept());
  return report;
}

NotKept from_wire(const wire::NotKept& from) {
  NotKept counts;
  counts.owners = from.owners();
  counts.hard_links = from.hard_links();
  counts.xattrs = from.xattrs();
  counts.acls = from.acls();
  counts.mode_bits = from.mode_bits();
  counts.specials = from.specials();
  return counts;
}

FileTime mtime_of(const wire::FileHeader& header) {
  if (header.mtime_nanoseconds() >= nanoseconds_per_second)
    throw_protocol("a file's time has " + std::to_string(header.mtime_nanoseconds()) + " nanoseconds");
  return {header.mtime_seconds(), header.mtime_nanoseconds()};
}

void throw_protocol(const std::string& text) { throw Failure(Failure::Kind::protocol, text); }

void read_message_into(const Fragment& fragment, google::protobuf::MessageLite& message) {
  if (fragment.payload.size() > message_bytes_max)
    throw_protocol("control message of " + std::to_string(fragment.payload.size()) + " bytes, more than " +
                   std::to_string(message_bytes_max));
  if (!message.ParseFromArray(fragment.payload.data(), static_cast<int>(fragment.payload.size())))
    throw_protocol("control message " + std::to_string(fragment.op) + " of " + std::to_string(fragment.payload.size()) +
                   " bytes cannot be decoded");
}

std::exception_ptr read_failed(const Fragment& fragment) {
  const auto failed = read_message<wire::Failed>(fragment);
  return std::make_exception_ptr(
      Failure(from_wire(failed.kind()), printable_sentence(failed.text()) + " (says the far side)"));
}

void throw_failed(const Fragment& fragment) { std::rethrow_exception(read_failed(fragment)); }

Fragment to_failed(std::exception_ptr failure) {
  wire::Failed failed;
  try {
    std::rethrow_exception(failure);
  } catch (const Failure& thrown) {
    failed.set_kind(to_wire(thrown.kind()));
    failed.set_text(printable_sentence(thrown.what()));
  } catch (const FileError& thrown) {
    failed.set_kind(wire::Failed::FILE);
    failed.set_text(printable_sentence(thrown.what()));
  } catch (...) {
    failed.set_kind(wire::Failed::ENDING);
    failed.set_text("the sync was given up");
  }
  return to_fragment(op::failed, failed);
}

std::size_t bytes_of(const Entry& entry) noexcept {
  constexpr std::size_t around = 64; // of the map that it is in
  return around + sizeof(Entry) + entry.path.size() + entry.target.size() + entry.xattrs.size();
}

std::string ListingReader::read(wire::Entry&& from, Entry& into) {
  if (++entries_count_ > entries_max_)
    throw_protocol("listing of more than " + std::to_string(entries_max_) + " entries");
  share_.add(bytes_of_place);
  if (from.shared_bytes() > last_path_.size())
    throw_protocol("a path shares " + std::to_string(from.shared_bytes()) + " bytes with one of " +
                   std::to_string(last_path_.size()));
  if (from.shared_bytes() > 0) from.mutable_path()->insert(0, last_path_, 0, from.shared_bytes());
  if (entries_count_ > 1 && compare_paths(last_path_, from.path()) >= 0)
    throw_protocol("listing is not ascending: \"" + printable(from.path()) + "\" comes after \"" +
                   printable(last_path_) + "\"");
  last_path_ = from.path();

  leaders_.push_back(from.type() != wire::Entry::DIRECTORY && from.same_as() == 0 && from.has_names());
  std::string wrong = wrong_with(from);
  if (wrong.empty() && is_excluded(from)) wrong = "is excluded here";
  if (wrong.empty()) wrong = wrong_with_place(from);
  into.path = std::move(*from.mutable_path());
  if (!wrong.empty()) {
    leaders_.back() = false;
    return wrong;
  }
  into.type = static_cast<EntryType>(from.type());
  into.size = from.size();
  into.mtime = {from.mtime_seconds(), from.mtime_nanoseconds()};
  into.mode = from.mode() & options_.mode_mask();
  into.target = std::move(*from.mutable_target());
  owners_.localize(from, into);
  into.special_mode = from.special_mode();
  into.device = from.device();
  into.same_as = from.same_as();
  into.has_names = leaders_.back();
  into.xattrs = std::move(*from.mutable_xattrs());
  share_.add(bytes_of(into));
  if (into.type != EntryType::directory) return {};
  while (!directories_.empty() && !is_below(into.path, directories_.back())) directories_.pop_back();
  if (!into.path.empty()) directories_.push_back(into.path);
  return {};
}

bool ListingReader::is_excluded(const wire::Entry& entry) {
  if (entry.path().empty()) return false;
  if (!excluded_.empty() && is_below(entry.path(), excluded_)) return true;
  const bool is_directory = entry.type() == wire::Entry::DIRECTORY;
  if (options_.only && is_directory) return false; // it leads to what is named, whatever the rules say
  if (!filter_.hides(entry.path(), is_directory)) return false;
  if (is_directory) excluded_ = entry.path();
  return true;
}

/// What options did not ask for is not believed, whatever the far side thinks.
std::string ListingReader::wrong_with_attributes(const wire::Entry& entry) const {
  if (entry.type() == wire::Entry::SPECIAL) {
    if (!options_.devices) return "is a device, a fifo or a socket, and none was asked for";
    const std::uint32_t type = entry.special_mode();
    if (type != S_IFCHR && type != S_IFBLK && type != S_IFIFO && type != S_IFSOCK)
      return "is special in the unknown way " + std::to_string(type);
  }
  if (entry.same_as() != 0 &&
      (!options_.hard_links || entry.same_as() >= leaders_.size() || !leaders_[entry.same_as() - 1]))
    return "is the same file as number " + std::to_string(entry.same_as()) + ", which is none that comes";
  if (!entry.xattrs().empty()) return wrong_with_xattrs(entry.xattrs(), options_.xattr_scope());
  return {};
}

std::string ListingReader::wrong_with(const wire::Entry& entry) const {
  std::string wrong = wrong_with_path(entry.path());
  if (!wrong.empty()) return wrong;
  if (!wire::Entry::Type_IsValid(entry.type())) return "has the unknown type " + std::to_string(entry.type());
  const bool is_symlink = entry.type() == wire::Entry::SYMLINK;
  if (entry.path().empty() && entry.type() != wire::Entry::DIRECTORY) return "is the top and no directory";
  if (entry.size() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return "claims " + std::to_string(entry.size()) + " bytes";
  if (entry.mtime_nanoseconds() >= nanoseconds_per_second)
    return "has a time with " + std::to_string(entry.mtime_nanoseconds()) + " nanoseconds";
  if (is_symlink == entry.target().empty())
    return is_symlink ? "is a symlink without a target" : "has a target and is no symlink";
  if (entry.target().size() > path_bytes_max)
    return "has a target of " + std::to_string(entry.target().size()) + " bytes";
  if (entry.target().find('\0') != std::string::npos) return "has a target with a zero byte";
  return wrong_with_attributes(entry);
}

std::string ListingReader::wrong_with_place(const wire::Entry& entry) const {
  const std::string_view parent = parent_of(entry.path());
  if (parent.empty()) return {};
  for (auto directory = directories_.rbegin(); directory != directories_.rend(); ++directory)
    if (*directory == parent) return {};
  return "lies in no listed directory";
}

} // namespace trunkline::sync
