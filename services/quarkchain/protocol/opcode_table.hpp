// Every opcode of the QuarkChain cluster protocol, one line each: there is no other place that says any of this, and
// docs/quarkchain-opcodes.md is made from it.
//
//   REQUEST(code, name, message, name of the reply's opcode, who may send it, what an unserved one answers, who
//   answers) REPLY(code, name, message) COMMAND(code, name, message, who may send it, what happens to an unserved one,
//   who takes it)
//
// Who answers: `slave` is a slave's Backend, `master` a master's RootBackend, `both` either of them by whom it comes
// to, `node` the node itself. A backend has its methods from here.
#pragma once

// clang-format off

// ClusterOp: between a master and its slaves, and between slaves. 156 does not exist.
#define QUARKCHAIN_CLUSTER_OPS(REQUEST, REPLY, COMMAND)                                                                                                          \
  REQUEST(129, ping, Ping, pong, from_master | between_slaves, close, node)                                                                                      \
  REPLY(130, pong, Pong)                                                                                                                                         \
  REQUEST(131, connect_to_slaves_request, ConnectToSlavesRequest, connect_to_slaves_response, from_master, close, node)                                          \
  REPLY(132, connect_to_slaves_response, ConnectToSlavesResponse)                                                                                                \
  REQUEST(133, add_root_block_request, AddRootBlockRequest, add_root_block_response, from_master, error, slave)                                                  \
  REPLY(134, add_root_block_response, AddRootBlockResponse)                                                                                                      \
  REQUEST(135, get_eco_info_list_request, GetEcoInfoListRequest, get_eco_info_list_response, from_master, error, slave)                                          \
  REPLY(136, get_eco_info_list_response, GetEcoInfoListResponse)                                                                                                 \
  REQUEST(137, get_next_block_to_mine_request, GetNextBlockToMineRequest, get_next_block_to_mine_response, from_master, error, slave)                            \
  REPLY(138, get_next_block_to_mine_response, GetNextBlockToMineResponse)                                                                                        \
  REQUEST(139, get_unconfirmed_headers_request, GetUnconfirmedHeadersRequest, get_unconfirmed_headers_response, from_master, error, slave)                       \
  REPLY(140, get_unconfirmed_headers_response, GetUnconfirmedHeadersResponse)                                                                                    \
  REQUEST(141, get_account_data_request, GetAccountDataRequest, get_account_data_response, from_master, error, slave)                                            \
  REPLY(142, get_account_data_response, GetAccountDataResponse)                                                                                                  \
  REQUEST(143, add_transaction_request, AddTransactionRequest, add_transaction_response, from_master, error, slave)                                              \
  REPLY(144, add_transaction_response, AddTransactionResponse)                                                                                                   \
  REQUEST(145, add_minor_block_header_request, AddMinorBlockHeaderRequest, add_minor_block_header_response, from_slave, error, master)                           \
  REPLY(146, add_minor_block_header_response, AddMinorBlockHeaderResponse)                                                                                       \
  REQUEST(147, add_xshard_tx_list_request, AddXshardTxListRequest, add_xshard_tx_list_response, between_slaves, error, slave)                                    \
  REPLY(148, add_xshard_tx_list_response, AddXshardTxListResponse)                                                                                               \
  REQUEST(149, sync_minor_block_list_request, SyncMinorBlockListRequest, sync_minor_block_list_response, from_master, error, slave)                              \
  REPLY(150, sync_minor_block_list_response, SyncMinorBlockListResponse)                                                                                         \
  REQUEST(151, add_minor_block_request, AddMinorBlockRequest, add_minor_block_response, from_master, error, slave)                                               \
  REPLY(152, add_minor_block_response, AddMinorBlockResponse)                                                                                                    \
  REQUEST(153, create_cluster_peer_connection_request, CreateClusterPeerConnectionRequest, create_cluster_peer_connection_response, from_master, error, node)    \
  REPLY(154, create_cluster_peer_connection_response, CreateClusterPeerConnectionResponse)                                                                       \
  COMMAND(155, destroy_cluster_peer_connection_command, DestroyClusterPeerConnectionCommand, from_master, ignore, node)                                          \
  REQUEST(157, get_minor_block_request, GetMinorBlockRequest, get_minor_block_response, from_master, error, slave)                                               \
  REPLY(158, get_minor_block_response, GetMinorBlockResponse)                                                                                                    \
  REQUEST(159, get_transaction_request, GetTransactionRequest, get_transaction_response, from_master, error, slave)                                              \
  REPLY(160, get_transaction_response, GetTransactionResponse)                                                                                                   \
  REQUEST(161, batch_add_xshard_tx_list_request, BatchAddXshardTxListRequest, batch_add_xshard_tx_list_response, between_slaves, error, node)                    \
  REPLY(162, batch_add_xshard_tx_list_response, BatchAddXshardTxListResponse)                                                                                    \
  REQUEST(163, execute_transaction_request, ExecuteTransactionRequest, execute_transaction_response, from_master, error, slave)                                  \
  REPLY(164, execute_transaction_response, ExecuteTransactionResponse)                                                                                           \
  REQUEST(165, get_transaction_receipt_request, GetTransactionReceiptRequest, get_transaction_receipt_response, from_master, error, slave)                       \
  REPLY(166, get_transaction_receipt_response, GetTransactionReceiptResponse)                                                                                    \
  REQUEST(167, mine_request, MineRequest, mine_response, from_master, error, slave)                                                                              \
  REPLY(168, mine_response, MineResponse)                                                                                                                        \
  REQUEST(169, gen_tx_request, GenTxRequest, gen_tx_response, from_master, error, slave)                                                                         \
  REPLY(170, gen_tx_response, GenTxResponse)                                                                                                                     \
  REQUEST(171, get_transaction_list_by_address_request, GetTransactionListByAddressRequest, get_transaction_list_by_address_response, from_master, error, slave) \
  REPLY(172, get_transaction_list_by_address_response, GetTransactionListByAddressResponse)                                                                      \
  REQUEST(173, get_log_request, GetLogRequest, get_log_response, from_master, error, slave)                                                                      \
  REPLY(174, get_log_response, GetLogResponse)                                                                                                                   \
  REQUEST(175, estimate_gas_request, EstimateGasRequest, estimate_gas_response, from_master, error, slave)                                                       \
  REPLY(176, estimate_gas_response, EstimateGasResponse)                                                                                                         \
  REQUEST(177, get_storage_request, GetStorageRequest, get_storage_response, from_master, error, slave)                                                          \
  REPLY(178, get_storage_response, GetStorageResponse)                                                                                                           \
  REQUEST(179, get_code_request, GetCodeRequest, get_code_response, from_master, error, slave)                                                                   \
  REPLY(180, get_code_response, GetCodeResponse)                                                                                                                 \
  REQUEST(181, gas_price_request, GasPriceRequest, gas_price_response, from_master, error, slave)                                                                \
  REPLY(182, gas_price_response, GasPriceResponse)                                                                                                               \
  REQUEST(183, get_work_request, GetWorkRequest, get_work_response, from_master, error, slave)                                                                   \
  REPLY(184, get_work_response, GetWorkResponse)                                                                                                                 \
  REQUEST(185, submit_work_request, SubmitWorkRequest, submit_work_response, from_master, error, slave)                                                          \
  REPLY(186, submit_work_response, SubmitWorkResponse)                                                                                                           \
  REQUEST(187, add_minor_block_header_list_request, AddMinorBlockHeaderListRequest, add_minor_block_header_list_response, from_slave, error, master)             \
  REPLY(188, add_minor_block_header_list_response, AddMinorBlockHeaderListResponse)                                                                              \
  REQUEST(189, check_minor_block_request, CheckMinorBlockRequest, check_minor_block_response, from_master, error, slave)                                         \
  REPLY(190, check_minor_block_response, CheckMinorBlockResponse)                                                                                                \
  REQUEST(191, get_all_transactions_request, GetAllTransactionsRequest, get_all_transactions_response, from_master, error, slave)                                \
  REPLY(192, get_all_transactions_response, GetAllTransactionsResponse)                                                                                          \
  REQUEST(193, get_root_chain_stakes_request, GetRootChainStakesRequest, get_root_chain_stakes_response, from_master, error, slave)                              \
  REPLY(194, get_root_chain_stakes_response, GetRootChainStakesResponse)                                                                                         \
  REQUEST(195, get_total_balance_request, GetTotalBalanceRequest, get_total_balance_response, from_master, error, slave)                                         \
  REPLY(196, get_total_balance_response, GetTotalBalanceResponse)

// CommandOp: between clusters. 16 is answered with 6; nobody sends 17, but who gets it can read it.
#define QUARKCHAIN_COMMAND_OPS(REQUEST, REPLY, COMMAND)                                                                                                                   \
  COMMAND(0, hello, HelloCommand, root_chain, close, node)                                                                                                                \
  COMMAND(1, new_minor_block_header_list, NewMinorBlockHeaderListCommand, root_chain | shard, ignore, both)                                                               \
  COMMAND(2, new_transaction_list, NewTransactionListCommand, root_chain | shard, ignore, both)                                                                           \
  REQUEST(3, get_peer_list_request, GetPeerListRequest, get_peer_list_response, root_chain, empty, node)                                                                  \
  REPLY(4, get_peer_list_response, GetPeerListResponse)                                                                                                                   \
  REQUEST(5, get_root_block_header_list_request, GetRootBlockHeaderListRequest, get_root_block_header_list_response, root_chain, close, node)                             \
  REPLY(6, get_root_block_header_list_response, GetRootBlockHeaderListResponse)                                                                                           \
  REQUEST(7, get_root_block_list_request, GetRootBlockListRequest, get_root_block_list_response, root_chain, empty, master)                                               \
  REPLY(8, get_root_block_list_response, GetRootBlockListResponse)                                                                                                        \
  REQUEST(9, get_minor_block_list_request, GetMinorBlockListRequest, get_minor_block_list_response, shard, empty, slave)                                                  \
  REPLY(10, get_minor_block_list_response, GetMinorBlockListResponse)                                                                                                     \
  REQUEST(11, get_minor_block_header_list_request, GetMinorBlockHeaderListRequest, get_minor_block_header_list_response, shard, close, node)                              \
  REPLY(12, get_minor_block_header_list_response, GetMinorBlockHeaderListResponse)                                                                                        \
  COMMAND(13, new_block_minor, NewBlockMinorCommand, shard, ignore, slave)                                                                                                \
  COMMAND(14, ping, PingPongCommand, root_chain, ignore, node)                                                                                                            \
  COMMAND(15, pong, PingPongCommand, root_chain, ignore, node)                                                                                                            \
  REQUEST(16, get_root_block_header_list_with_skip_request, GetRootBlockHeaderListWithSkipRequest, get_root_block_header_list_response, root_chain, close, master)        \
  REPLY(17, get_root_block_header_list_with_skip_response, GetRootBlockHeaderListResponse)                                                                                \
  COMMAND(18, new_root_block, NewRootBlockCommand, root_chain, ignore, master)                                                                                            \
  REQUEST(19, get_minor_block_header_list_with_skip_request, GetMinorBlockHeaderListWithSkipRequest, get_minor_block_header_list_with_skip_response, shard, close, slave) \
  REPLY(20, get_minor_block_header_list_with_skip_response, GetMinorBlockHeaderListResponse)

// clang-format on

// QUARKCHAIN_OF_SLAVE(who answers, text) is the text for those that a slave's backend answers, and nothing for the
// rest.
#define QUARKCHAIN_OF_SLAVE(WHO, ...) QUARKCHAIN_OF_SLAVE_##WHO(__VA_ARGS__)
#define QUARKCHAIN_OF_SLAVE_slave(...) __VA_ARGS__
#define QUARKCHAIN_OF_SLAVE_both(...) __VA_ARGS__
#define QUARKCHAIN_OF_SLAVE_master(...)
#define QUARKCHAIN_OF_SLAVE_node(...)

// The same for a master's backend.
#define QUARKCHAIN_OF_MASTER(WHO, ...) QUARKCHAIN_OF_MASTER_##WHO(__VA_ARGS__)
#define QUARKCHAIN_OF_MASTER_slave(...)
#define QUARKCHAIN_OF_MASTER_both(...) __VA_ARGS__
#define QUARKCHAIN_OF_MASTER_master(...) __VA_ARGS__
#define QUARKCHAIN_OF_MASTER_node(...)

// For a kind of row that is of no interest.
#define QUARKCHAIN_NOTHING(...)
