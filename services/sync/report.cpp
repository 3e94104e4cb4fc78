#include "services/sync/report.hpp"

#include <limits>

namespace trunkline::sync {

void Report::count(const Note& note) noexcept {
  switch (note.kind) {
    case Note::Kind::error: ++errors; break;
    case Note::Kind::skipped: ++skipped; break;
    case Note::Kind::sent:
      ++files;
      if (note.changes & Changes::is_new) ++files_new;
      bytes += note.bytes;
      if (bytes < note.bytes) bytes = std::numeric_limits<std::uint64_t>::max();
      break;
    case Note::Kind::directory: ++directories; break;
    case Note::Kind::symlink: ++symlinks; break;
    case Note::Kind::attributes: ++attributes; break;
    case Note::Kind::deleted: ++deleted; break;
    case Note::Kind::vanished: ++vanished; break;
    case Note::Kind::warning: ++warnings; break;
    case Note::Kind::special: ++specials; break;
    case Note::Kind::hard_link: ++linked; break;
  }
}

} // namespace trunkline::sync
