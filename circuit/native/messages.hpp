// The control messages of one trunk, reused: a fresh protobuf object per frame costs more than the frame.
#pragma once

#include "circuit/native/machine.hpp"
#include "proto/trunk.pb.h"

#include <string>

namespace trunkline {

struct NativeMachine::Messages {
  trunkline::wire::Open open; // the last one heard; the fields behind its circuit were `open_rest`
  std::string open_rest;
  trunkline::wire::Open opening; // the last one said, without its circuit; `opening_rest` is how it is written
  std::string opening_rest;
  trunkline::wire::Accept accept;
  trunkline::wire::Refuse refuse;
  trunkline::wire::Credit credit;
  trunkline::wire::Finish finish;
  trunkline::wire::FinishAcknowledged finish_acknowledged;
  trunkline::wire::Close close;
  trunkline::wire::CloseReceived close_received;
  trunkline::wire::Reset reset;
  trunkline::wire::Ping ping;
  trunkline::wire::Pong pong;
};

} // namespace trunkline
