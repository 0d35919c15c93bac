%% @doc A strategy for libcluster: a connector that connects, disconnects and lists nodes as the topology says.
%%
%% ```
%% config :libcluster, topologies: [
%%   shop: [strategy: :longnames_strategy, config: [name: "shop.prod.svc.erl.internal"]]
%% ]
%% '''
%%
%% The options are those of {@link longnames_connector}. It is Cluster.Strategy's behaviour, without being compiled
%% against it.
-module(longnames_strategy).

-export([child_spec/1, start_link/1]).

-type mfargs() :: {module(), atom(), [term()]}.
-type state() :: #{topology := atom(), connect := mfargs(), disconnect := mfargs(), list_nodes := mfargs(),
                   config := [{atom(), term()}], atom() => term()}.
%% A `Cluster.Strategy.State'.

%% @doc Returns what libcluster's supervisor needs to start the strategy.
-spec child_spec([state()]) -> supervisor:child_spec().
child_spec(Args = [#{topology := Topology} | _]) -> #{id => {?MODULE, Topology}, start => {?MODULE, start_link, [Args]}}.

%% @doc Starts the strategy for a topology.
-spec start_link([state()]) -> {ok, pid()} | ignore | {error, term()}.
start_link([#{topology := Topology, connect := Connect, disconnect := Disconnect, list_nodes := List,
              config := Config}]) ->
    {Module, Function, Args} = List,
    longnames_connector:start_link(
      (maps:from_list(Config))#{
        connect => fun(Node) -> 'Elixir.Cluster.Strategy':connect_nodes(Topology, Connect, List, [Node]) end,
        disconnect => fun(Node) -> 'Elixir.Cluster.Strategy':disconnect_nodes(Topology, Disconnect, List, [Node]) end,
        list_nodes => fun() -> apply(Module, Function, Args) end}).
