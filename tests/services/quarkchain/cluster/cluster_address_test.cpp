#include "services/quarkchain/cluster/cluster_address.hpp"

#include <doctest/doctest.h>

using namespace trunkline::quarkchain;

TEST_CASE("quarkchain cluster address: a host alone is one of tcp, and one with a scheme says its medium and key") {
  CHECK(cluster_address("10.0.0.7", 38000) == "tcp://10.0.0.7:38000");
  CHECK(cluster_address("::1", 38000) == "tcp://[::1]:38000");
  CHECK(cluster_address("tls://10.0.0.7", 38000) == "tls://10.0.0.7:38000");
  CHECK(cluster_address("tls://10.0.0.7#AAAAAAAAAAAAAAAAAAAAAQ", 38000) == "tls://10.0.0.7:38000#AAAAAAAAAAAAAAAAAAAAAQ");
  CHECK(cluster_listen_address("10.0.0.7", 38000) == "tcp://0.0.0.0:38000");
  CHECK(cluster_listen_address("tls://10.0.0.7", 38000) == "tls://0.0.0.0:38000");
}
