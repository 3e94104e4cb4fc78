// The control messages of one trunk, reused: a fresh protobuf object per frame costs more than the frame.
#pragma once

#include "circuit/native_trunk.hpp"
#include "proto/trunk.pb.h"

namespace trunkline {

struct NativeTrunk::Messages {
  trunkline::wire::Open open;
  trunkline::wire::Accept accept;
  trunkline::wire::Refuse refuse;
  trunkline::wire::Credit credit;
  trunkline::wire::Finish finish;
  trunkline::wire::FinishTaken finish_taken;
  trunkline::wire::Close close;
  trunkline::wire::CloseReceived close_received;
  trunkline::wire::Reset reset;
  trunkline::wire::Ping ping;
  trunkline::wire::Pong pong;
};

} // namespace trunkline
