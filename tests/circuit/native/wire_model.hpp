// What docs/wire.md lets one side write at each moment. It is told every frame that the side says and every frame
// that the side has heard, in the order in which that happened, and throws a Violation at the first frame that an
// outsider who implements the page could not have expected. It is the reference for credit: the sums are kept here
// a second time, from the wire alone.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "tests/circuit/native/wire_reader.hpp"

namespace trunkline::test::say {

class WireModel {
 public:
  explicit WireModel(bool dialled) : next_here_(dialled ? 1 : 2), next_there_(dialled ? 2 : 1) {}

  /// What follows was taken from the machine at once. Within it, RESET and CLOSE_RECEIVED may overtake DATA, FINISH and
  /// CLOSE of their circuit; nothing about a circuit may follow in a later one.
  void begin_output() { ++outputs_; }

  void said(const Frame& frame) {
    const std::string text = "\"" + frame.to_string() + "\" ";
    demand(frame.type <= GOODBYE, text + "which version 1 does not have");
    demand(!goodbye_said_, text + "after GOODBYE");
    demand(hello_said_ == (frame.type != HELLO), text + (hello_said_ ? "after HELLO" : "before HELLO"));
    switch (frame.type) {
      case HELLO: hello_said_ = true; return;
      case GOODBYE:
        demand(frame.fields.text(2).size() <= 256, text + "with a text of more than 256 bytes");
        goodbye_said_ = true;
        return;
      case DRAIN:
        demand(!drain_said_, text + "twice");
        drain_said_ = true;
        return;
      case PING: return;
      case PONG: {
        const auto ping = pings_heard_.find(frame.fields.number(1));
        demand(ping != pings_heard_.end(), text + "without its PING");
        pings_heard_.erase(ping);
        return;
      }
      case PEER_METADATA:
      case PEER_ENDED: demand(frame.fields.text(1).size() == 16, text + "without a peer"); return;
      case CREDIT:
        if (frame.circuit == 0) {
          said_credit(granted_, frame, text, std::int64_t{1} << 40);
          ++credits_said_;
          return;
        }
        break;
      case OPEN: said_open(frame, text); return;
      default: break;
    }

    const bool own = is_own(frame.circuit);
    demand(frame.circuit < (own ? next_here_ : next_there_), text + "for a circuit that was never opened");
    Circuit& circuit = circuits_[frame.circuit];
    const bool in_band = frame.is_data() || frame.type == FINISH || frame.type == CLOSE;
    // What lies in the machine's output already goes out with the next one, whatever has been heard since.
    demand(!circuit.over_said || (in_band && circuit.over_said_in == outputs_) || circuit.over_heard_in + 1 >= outputs_,
           text + "after this side said that the circuit is over");
    switch (frame.type) {
      case DATA: said_data(circuit, frame, text); break;
      case CREDIT:
        said_credit(circuit.granted, frame, text, (std::int64_t{1} << 31) - 1);
        ++circuit.credits_said;
        break;
      case ACCEPT:
        demand(!own, text + "for a circuit of this side");
        demand(circuit.answer_wanted, text + "which nobody asked for, or twice");
        circuit.answer_wanted = false;
        circuit.ran = true;
        break;
      case REFUSE:
        demand(!own, text + "for a circuit of this side");
        demand(!circuit.ran, text + "though its handler ran");
        say_over(circuit);
        break;
      case FINISH:
        demand(!circuit.finish_said && !circuit.close_said, text + "after it said so before");
        demand(circuit.left == 0, text + "in the middle of a fragment");
        circuit.finish_said = true;
        break;
      case CLOSE:
        demand(!circuit.close_said, text + "twice");
        demand(circuit.left == 0, text + "in the middle of a fragment");
        demand(frame.fields.text(3).size() <= 256, text + "with a text of more than 256 bytes");
        circuit.close_said = true;
        if (circuit.close_heard) say_over(circuit);
        break;
      case FINISH_ACKNOWLEDGED:
        demand(circuit.finish_heard && !circuit.finish_taken_said, text + "without its FINISH, or twice");
        circuit.finish_taken_said = true;
        break;
      case CLOSE_RECEIVED:
        demand(circuit.close_heard, text + "without its CLOSE");
        say_over(circuit);
        break;
      case RESET:
        demand(frame.fields.text(3).size() <= 256, text + "with a text of more than 256 bytes");
        say_over(circuit);
        break;
      default: break;
    }
  }

  void heard(const Frame& frame) {
    switch (frame.type) {
      case PING: pings_heard_.insert(frame.fields.number(1)); return;
      case CREDIT:
        if (frame.circuit == 0) credit_ += static_cast<std::int64_t>(frame.fields.number(2));
        break;
      case OPEN:
        if (frame.circuit == next_there_) next_there_ += 2;
        circuits_[frame.circuit].answer_wanted = frame.fields.number(9) != 0;
        break;
      case DATA: granted_ -= frame.cost(); break;
      default: break;
    }
    const auto found = circuits_.find(frame.circuit);
    if (found == circuits_.end()) return;
    Circuit& circuit = found->second;
    switch (frame.type) {
      case DATA: circuit.granted -= frame.cost(); break;
      case CREDIT: circuit.credit += static_cast<std::int64_t>(frame.fields.number(2)); break;
      case FINISH: circuit.finish_heard = true; break;
      case CLOSE:
        circuit.close_heard = true;
        if (circuit.close_said) {
          say_over(circuit);
          circuit.over_heard_in = outputs_;
        }
        break;
      case RESET:
      case REFUSE:
      case CLOSE_RECEIVED:
        if (!circuit.over_heard) circuit.over_heard_in = outputs_;
        circuit.over_heard = true;
        break;
      default: break;
    }
  }

  /// What this side may still send.
  std::int64_t credit() const { return credit_; }
  std::int64_t credit(std::uint64_t circuit) const { return find(circuit).credit; }
  /// What the far side may still send to this one.
  std::int64_t granted() const { return granted_; }
  std::int64_t granted(std::uint64_t circuit) const { return find(circuit).granted; }
  /// How often this side has granted.
  int credits_said() const { return credits_said_; }
  int credits_said(std::uint64_t circuit) const { return find(circuit).credits_said; }

 private:
  struct Circuit {
    std::int64_t credit = circuit_window; // invariant: >= 0, asserted by said_data
    std::int64_t granted = circuit_window;
    int credits_said = 0;
    std::uint64_t left = 0; // of the fragment that is being said
    bool answer_wanted = false;
    bool ran = false; // this side showed that it took the circuit
    bool finish_said = false;
    bool finish_heard = false;
    bool finish_taken_said = false;
    bool close_said = false;
    bool close_heard = false;
    bool over_said = false;
    std::int64_t over_said_in = -2; // which output
    bool over_heard = false;
    std::int64_t over_heard_in = -2; // after which output
  };

  void say_over(Circuit& circuit) {
    if (!circuit.over_said) circuit.over_said_in = outputs_;
    circuit.over_said = true;
  }
  bool is_own(std::uint64_t circuit) const { return circuit % 2 == next_here_ % 2; }

  const Circuit& find(std::uint64_t circuit) const {
    static const Circuit unseen;
    const auto found = circuits_.find(circuit);
    return found == circuits_.end() ? unseen : found->second;
  }

  void said_open(const Frame& frame, const std::string& text) {
    demand(frame.circuit == next_here_, text + "where " + std::to_string(next_here_) + " is next");
    demand(!drain_said_, text + "after DRAIN");
    demand(frame.fields.text(3).size() == 16, text + "without who opens it");
    demand(frame.fields.number(2) <= 3, text + "with an unknown mode");
    demand(frame.fields.text(5).size() == 16 || (frame.fields.number(2) == 2 && frame.fields.text(5).empty()),
           text + "without whom it is for");
    next_here_ += 2;
    circuits_[frame.circuit];
  }

  void said_data(Circuit& circuit, const Frame& frame, const std::string& text) {
    demand(!circuit.finish_said && !circuit.close_said, text + "after it finished");
    demand(!circuit.over_heard || circuit.over_heard_in + 1 >= outputs_,
           text + "after the far side said that the circuit is over");
    circuit.credit -= frame.cost();
    credit_ -= frame.cost();
    demand(circuit.credit >= 0, text + "beyond the circuit's credit by " + std::to_string(-circuit.credit));
    demand(credit_ >= 0, text + "beyond the trunk's credit by " + std::to_string(-credit_));
    if (frame.has(CONTINUES)) {
      demand(circuit.left > 0, text + "which continues nothing");
      demand(frame.payload.size() <= circuit.left, text + "beyond its total");
      circuit.left -= frame.payload.size();
      demand((circuit.left == 0) == frame.has(LAST), text + "whose LAST is wrong");
    } else {
      demand(circuit.left == 0, text + "in the middle of a fragment");
      if (frame.has(FIRST_OF_MORE)) {
        demand(frame.total > frame.payload.size(), text + "of which there is no more");
        circuit.left = frame.total - frame.payload.size();
      }
    }
    circuit.ran = true;
  }

  static void said_credit(std::int64_t& granted, const Frame& frame, const std::string& text, std::int64_t max) {
    const std::uint64_t bytes = frame.fields.number(2);
    demand(bytes > 0, text + "of nothing");
    demand(bytes <= static_cast<std::uint64_t>(max) && granted + static_cast<std::int64_t>(bytes) <= max,
           text + "beyond the largest sum");
    granted += static_cast<std::int64_t>(bytes);
  }

  std::int64_t outputs_ = 0;
  bool hello_said_ = false;
  bool goodbye_said_ = false;
  bool drain_said_ = false;
  std::uint64_t next_here_;
  std::uint64_t next_there_;
  std::int64_t credit_ = trunk_window; // invariant: >= 0, asserted by said_data
  std::int64_t granted_ = trunk_window;
  int credits_said_ = 0;
  std::multiset<std::uint64_t> pings_heard_;
  std::map<std::uint64_t, Circuit> circuits_;
};

} // namespace trunkline::test::say
