%% Stands for libcluster's module: it does what is said of it there, and no more.
-module('Elixir.Cluster.Strategy').
-export([connect_nodes/4, disconnect_nodes/4]).

connect_nodes(_Topology, Connect, List, Nodes) ->
    result([{Node, Result} || Node <- Nodes, Node =/= node(), not lists:member(Node, call(List, [])), Result <- [call(Connect, [Node])], Result =/= true]).

disconnect_nodes(_Topology, Disconnect, List, Nodes) ->
    result([{Node, Result} || Node <- Nodes, Node =/= node(), lists:member(Node, call(List, [])), Result <- [call(Disconnect, [Node])], Result =/= true]).

result([]) -> ok;
result(Bad) -> {error, Bad}.

call({Module, Function, Args}, More) -> apply(Module, Function, Args ++ More).
