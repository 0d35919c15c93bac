-module(longnames_strategy_tests).
-include_lib("eunit/include/eunit.hrl").
-export([connect/2, disconnect/2, list/1]).

%% As libcluster's supervisor starts it, with functions of the topology that are not distribution's.
strategy_test_() ->
    {timeout, 20, fun() ->
        logger:set_primary_config(level, none),
        Self = self(),
        Own = atom_to_list(node()),
        Server = dns_server:start(dns_server:txt(["shop@a.c", "shop@b.c", "shop@d.c", Own])),
        State = #{'__struct__' => 'Elixir.Cluster.Strategy.State', topology => shop, meta => nil,
                  connect => {?MODULE, connect, [Self]}, disconnect => {?MODULE, disconnect, [Self]}, list_nodes => {?MODULE, list, [['shop@b.c', 'shop@d.c']]},
                  config => [{name, <<"shop.erl.internal">>}, {nameservers, dns_server:nameservers(Server)}, {interval, 200}, {disconnect_after, 2}]},
        #{id := Id} = longnames_strategy:child_spec([State#{topology => web}]),
        ?assertNotMatch(#{id := Id}, longnames_strategy:child_spec([State])),
        #{start := {Module, Function, Args}} = longnames_strategy:child_spec([State]),
        {ok, Pid} = apply(Module, Function, Args),
        unlink(Pid),
        ?assertEqual({connect, 'shop@a.c'}, next()),
        dns_server:set(Server, dns_server:txt(["shop@d.c", Own])),
        ?assertEqual({disconnect, 'shop@b.c'}, last(next())),
        exit(Pid, kill),
        dns_server:stop(Server),
        logger:set_primary_config(level, notice)
    end}.

connect(Pid, Node) -> Pid ! {connect, Node}, true.

disconnect(Pid, Node) -> Pid ! {disconnect, Node}, true.

list(Nodes) -> Nodes.

next() -> receive {Kind, Node} when Kind =:= connect; Kind =:= disconnect -> {Kind, Node} after 60000 -> none end.

last({connect, _}) -> last(next());
last(Event) -> Event.
