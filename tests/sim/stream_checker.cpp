#include "tests/sim/stream_checker.hpp"

#include "tests/sim/contents.hpp"

namespace trunkline::sim {

std::string StreamChecker::open(const std::string& kind) {
  std::string name = kind + "-" + std::to_string(++opened_);
  streams_.emplace(name, Stream());
  return name;
}

Fragment StreamChecker::next(const std::string& stream, int way, std::size_t bytes) {
  return make_fragment(stream, way, streams_[stream].ways[way].sent, bytes);
}

void StreamChecker::sent(const std::string& stream, int way, std::size_t bytes) {
  Way& direction = streams_[stream].ways[way];
  if (direction.finished) report(stream, way, "a fragment was taken after the finish");
  ++direction.sent;
  bytes_ += bytes;
}

void StreamChecker::finished(const std::string& stream, int way) { streams_[stream].ways[way].finished = true; }

void StreamChecker::served(const std::string& stream) {
  const auto found = streams_.find(stream);
  if (found == streams_.end())
    return violations_.report("a service got circuit \"" + stream + "\", which nobody opened");
  if (found->second.served) report(stream, forth, "two services got one circuit");
  if (found->second.refused) report(stream, forth, "a service got a circuit that had been refused");
  found->second.served = true;
}

void StreamChecker::received(const std::string& stream, int way, const Fragment& fragment) {
  Way& direction = streams_[stream].ways[way];
  const std::uint64_t position = direction.received++;
  ++fragments_;
  if (direction.end_seen) report(stream, way, "a fragment arrived after the end");
  if (position >= direction.sent)
    return report(stream, way,
                  "position " + std::to_string(fragment.part) + " arrived when only " + std::to_string(direction.sent) +
                      " fragments had been sent");
  const std::string wrong = difference(fragment, stream, way, position);
  if (!wrong.empty()) report(stream, way, wrong);
}

void StreamChecker::end_seen(const std::string& stream, int way) {
  streams_[stream].ways[way].end_seen = true;
  check_complete(stream, way, "the receiver");
}

void StreamChecker::acknowledged(const std::string& stream, int way) {
  ++acknowledgements_;
  check_complete(stream, way, "the sender");
}

void StreamChecker::refused(const std::string& stream, const std::string& reason) {
  ++refusals_;
  streams_[stream].refused = true;
  if (streams_[stream].served) report(stream, forth, "refused with \"" + reason + "\" although a service got it");
}

bool StreamChecker::is_complete(const std::string& stream, int way) const {
  const Way& direction = streams_.at(stream).ways[way];
  return direction.finished && direction.end_seen && direction.received == direction.sent;
}

void StreamChecker::check_complete(const std::string& stream, int way, const char* who) {
  const Way& direction = streams_[stream].ways[way];
  if (!direction.finished) report(stream, way, std::string(who) + " was told of an end that nobody had asked for");
  if (direction.received != direction.sent)
    report(stream, way,
           std::string(who) + " was told that all is there, but " + std::to_string(direction.sent) +
               " fragments were sent and " + std::to_string(direction.received) + " received");
}

void StreamChecker::report(const std::string& stream, int way, const std::string& what) {
  static constexpr const char* ways[] = {": ", ", on the way back: ", ", error fragments: "};
  violations_.report("circuit " + stream + ways[way] + what);
}

} // namespace trunkline::sim
