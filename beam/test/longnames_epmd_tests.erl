-module(longnames_epmd_tests).
-include_lib("eunit/include/eunit.hrl").
-export([start_peer/3, port_of_unknown/1]).

-define(HOST, "shop-0.shop.prod.svc.erl.internal").
-define(NODE, 'shop@shop-0.shop.prod.svc.erl.internal').
-define(SAME_HOST, 'web@shop-0.shop.prod.svc.erl.internal').
-define(OTHER_HOST, 'shop@shop-1.shop.prod.svc.erl.internal').
-define(IP, {10, 0, 0, 1}).
-define(OTHER, {10, 0, 0, 2}).
-define(OTHER_PORT, [{?OTHER_HOST, 9100}]).

%% The node that runs this has to have longnames_epmd as its -epmd_module, or there is no table.
%% A row is what happens, and the address at its end.
address_test_() ->
    {setup, fun start/0, fun stop/1,
     fun(Server) ->
             [{Name, fun() ->
                         [ets:delete_all_objects(Table) || Table <- [longnames_epmd, longnames_epmd_ports]],
                         Got = lists:last([step(Step, Server) || Step <- Steps ++ [address]]),
                         ?assertEqual(Want, Got)
                     end}
              || {Name, Want, Steps} <-
                     [{"a host that resolves", {ok, ?IP}, [{a, ?IP}]},
                      {"an unknown host that does not resolve", {error, nxdomain}, [nxdomain]},
                      {"an error after an answer", {ok, ?IP}, [{a, ?IP}, address, nxdomain]},
                      {"a SERVFAIL after an answer", {ok, ?IP}, [{a, ?IP}, address, servfail]},
                      {"a new address goes before the known one", {ok, ?OTHER}, [{a, ?IP}, address, {a, ?OTHER}]},
                      {"a slow answer after one", {ok, ?IP}, [{a, ?IP}, address, {slow, ?OTHER}]},
                      {"a slow answer is known once it is there", {ok, ?OTHER},
                       [{a, ?IP}, address, {slow, ?OTHER}, address, {wait, 500}, nxdomain]},
                      {"a slow answer for an unknown host is waited for", {ok, ?IP}, [{slow, ?IP}]},
                      {"a host from which a node has connected", {ok, ?IP}, [nxdomain, {remember, ?IP}]},
                      {"what resolved goes before where a node came from", {ok, ?IP}, [{a, ?IP}, address, nxdomain, {remember, ?OTHER}]},
                      {"where an IPv6 node came from is for IPv6", {error, nxdomain}, [nxdomain, {remember, {0, 0, 0, 0, 0, 0, 0, 1}}]},
                      {"a port that is not epmd's", {ok, ?IP, 9100, 6}, [{a, ?IP}, {ports, [{?NODE, 9100}]}]},
                      {"another port later", {ok, ?IP, 9101, 6}, [{a, ?IP}, {ports, [{?NODE, 9100}]}, {ports, [{?NODE, 9101}]}]},
                      {"epmd's port", {ok, ?IP}, [{a, ?IP}, {ports, [{?NODE, 9100}]}, {ports, [{?NODE, 4369}]}]},
                      {"two nodes of a host, at two ports", {ok, ?IP}, [{a, ?IP}, {ports, [{?NODE, 9100}, {?SAME_HOST, 9101}]}]},
                      {"two ports of a host, in another order than its nodes", {ok, ?IP},
                       [{a, ?IP}, {ports, [?NODE, ?SAME_HOST], [?SAME_HOST, ?NODE]}]},
                      {"a node of the host, in another cluster", {ok, ?IP, 9100, 6},
                       [{a, ?IP}, {ports, [{?NODE, 9100}]}, {ports_of_another, [{?SAME_HOST, 9101}]}]},
                      {"a node of the host that is at epmd's port, in another cluster", {ok, ?IP, 9100, 6},
                       [{a, ?IP}, {ports, [{?NODE, 9100}]}, {ports_of_another, [{?SAME_HOST, 4369}]}]},
                      {"two nodes of a host, in another order than the ports", {ok, ?IP},
                       [{a, ?IP}, {ports, [?NODE, ?SAME_HOST, ?OTHER_HOST], [?OTHER_HOST, ?NODE, ?SAME_HOST]}]},
                      {"a node a host, in another order than the ports", {ok, ?IP, 9101, 6},
                       [{a, ?IP}, {ports, [?NODE, ?OTHER_HOST], [?OTHER_HOST, ?NODE]}]},
                      {"no port for the host any more", {ok, ?IP},
                       [{a, ?IP}, {ports, [{?NODE, 9100}]}, {ports, [?NODE, ?OTHER_HOST], [?OTHER_HOST]}]},
                      {"not listed: the port of all others of its basename", {ok, ?IP, 9100, 6},
                       [{a, ?IP}, {ports, [{?OTHER_HOST, 9100}, {'shop@shop-2', 9100}, {'web@shop-3', 9200}]}]},
                      {"not listed any more: the port of those that are", {ok, ?IP, 9200, 6},
                       [{a, ?IP}, {ports, [{?NODE, 9100}, {?OTHER_HOST, 9100}]}, {ports, [{'shop@shop-2', 9200}]}]},
                      {"not listed, and others of its basename have two ports", {ok, ?IP},
                       [{a, ?IP}, {ports, [{?OTHER_HOST, 9100}, {'shop@shop-2', 9101}]}]},
                      {"not listed, and others of its basename are at epmd's port, too", {ok, ?IP},
                       [{a, ?IP}, {ports, [{?OTHER_HOST, 9100}, {'shop@shop-2', 4369}]}]},
                      {"another basename's port", {ok, ?IP}, [{a, ?IP}, {ports, [{'web@shop-1', 9100}]}]}]]
     end}.

address_of_an_address_test() -> ?assertEqual({ok, ?IP}, longnames_epmd:address_please("shop", "10.0.0.1", inet)).

%% An epmd knows better. These have no distribution, which starts one.
unknown_test_() ->
    [{Name, fun() ->
         {ok, Peer, _} = peer:start(#{connection => standard_io, args => ["-pa" | code_path()] ++ Args}),
         ?assertEqual(Want, peer:call(Peer, ?MODULE, port_of_unknown, [Ports])),
         peer:stop(Peer)
     end} || {Name, Want, Ports, Args} <-
                 [{"not listed, and there is an epmd", {ok, ?IP}, ?OTHER_PORT, listening(9200, 9200)},
                  {"not listed, and there is none", {ok, ?IP, 9100, 6}, ?OTHER_PORT, ["-start_epmd", "false" | listening(9200, 9200)]},
                  {"no answer yet, and there is an epmd", {ok, ?IP}, [], listening(9200, 9200)},
                  {"no answer yet, and there is none", {ok, ?IP, 9200, 6}, [], ["-start_epmd", "false" | listening(9200, 9200)]},
                  {"no answer yet, and a least port, which is the only one", {ok, ?IP, 9200, 6}, [],
                   ["-start_epmd", "false", "-kernel", "inet_dist_listen_min", "9200"]},
                  {"no answer yet, and some port of the node's own", {ok, ?IP}, [], ["-start_epmd", "false" | listening(9200, 9210)]},
                  {"no answer yet, and any", {ok, ?IP}, [], ["-start_epmd", "false"]}]].

listening(Min, Max) ->
    ["-kernel", "inet_dist_listen_min", integer_to_list(Min), "inet_dist_listen_max", integer_to_list(Max)].

port_of_unknown(Ports) ->
    {ok, _} = longnames_epmd:start(),
    remember_ports("shop.internal", Ports),
    inet_db:set_lookup([file]),
    longnames_epmd:remember(?NODE, ?IP),
    longnames_epmd:address_please("shop", ?HOST, inet).

code_path() -> [filename:absname(filename:dirname(code:which(Module))) || Module <- [longnames_epmd, ?MODULE]].

%% A table that is full has place for another host, and forgets one only.
full_test() ->
    [ets:delete_all_objects(Table) || Table <- [longnames_epmd, longnames_epmd_ports]],
    ets:insert(longnames_epmd, [{{I, inet}, ?OTHER} || I <- lists:seq(1, 100000)]),
    remember_ports("shop.internal", [{?NODE, 9100}]),
    longnames_epmd:remember(?NODE, ?IP),
    ?assertEqual({100000, [{{?HOST, inet}, ?IP}]}, {ets:info(longnames_epmd, size), ets:lookup(longnames_epmd, {?HOST, inet})}),
    ets:delete_all_objects(longnames_epmd).

%% `bin/app rpc' starts a node that knows nobody, to connect to that of its own host, which has a name. No server resolves it.
own_host_test_() ->
    {setup, fun() -> start_peer("rpc", ?HOST, []) end, fun peer:stop/1,
     fun(Peer) ->
             [{Name, fun() ->
                         ok = peer:call(Peer, application, set_env, [kernel, inet_dist_use_interface, Interface]),
                         ?assertEqual(Want, peer:call(Peer, longnames_epmd, address_please, ["shop", Host, Family]))
                     end}
              || {Name, Want, Host, Family, Interface} <-
                     [{"this machine", {ok, {127, 0, 0, 1}}, ?HOST, inet, undefined},
                      {"this machine, by IPv6", {ok, {0, 0, 0, 0, 0, 0, 0, 1}}, ?HOST, inet6, undefined},
                      {"the interface of distribution", {ok, ?IP}, ?HOST, inet, ?IP},
                      {"an interface of the other family", {ok, {0, 0, 0, 0, 0, 0, 0, 1}}, ?HOST, inet6, ?IP},
                      {"another host", {error, nxdomain}, "shop-1.shop.prod.svc.erl.internal", inet, undefined}]]
     end}.

%% A node without epmd and name servers.
start_peer(Name, Host, Args) ->
    [Code, Tests] = code_path(),
    Inetrc = filename:join(Tests, "no_server.inetrc"),
    ok = file:write_file(Inetrc, "{resolv_conf, \"\"}.\n{hosts_file, \"\"}.\n{lookup, [dns]}.\n{cache_size, 0}.\n"),
    {ok, Peer, _} = peer:start(#{name => Name, host => Host, longnames => true, connection => standard_io,
                                 args => ["-start_epmd", "false", "-epmd_module", "longnames_epmd", "-kernel", "inetrc",
                                          "\"" ++ Inetrc ++ "\"", "-pa", Code, Tests | Args]}),
    Peer.

%% net_kernel serves all connections. It answers while DNS hangs for one of them.
net_kernel_test_() ->
    {setup, fun start/0, fun stop/1,
     fun(Server) ->
             {timeout, 30, fun() ->
                 Self = self(),
                 dns_server:set(Server, fun(_, _) -> Self ! asked, none end),
                 {Pid, Monitor} = spawn_monitor(fun() -> exit(net_kernel:connect_node('shop@unknown.shop.prod.svc.erl.internal')) end),
                 receive asked -> ok end,
                 _ = net_kernel:get_net_ticktime(),
                 ?assert(is_process_alive(Pid)), % it waits for DNS still
                 dns_server:set(Server, dns_server:rcode(3)),
                 receive {'DOWN', Monitor, process, Pid, Result} -> ?assertEqual(false, Result) end
             end}
     end}.

%% All functions that erl_epmd has for others are there, so that it can stand for it.
exports_test() ->
    Callbacks = [init, handle_call, handle_cast, handle_info, terminate, code_change, module_info],
    Wanted = [F || F = {Name, _} <- erl_epmd:module_info(exports), not lists:member(Name, Callbacks)],
    ?assertEqual([], Wanted -- longnames_epmd:module_info(exports)).

start() ->
    Server = dns_server:start(dns_server:rcode(3)),
    [{_, Port}] = dns_server:nameservers(Server),
    ok = inet_db:set_lookup([dns]),
    ok = inet_db:add_rc_list([{resolv_conf, ""}, clear_ns, {nameserver, {127, 0, 0, 1}, Port}, {cache_size, 0}, {search, []}]),
    Server.

stop(Server) ->
    ok = inet_db:set_lookup([native]),
    dns_server:stop(Server).

step(address, _) -> longnames_epmd:address_please("shop", ?HOST, inet);
step({a, Address}, Server) -> dns_server:set(Server, dns_server:a([Address]));
step({slow, Address}, Server) ->
    dns_server:set(Server, fun(T, Q) -> timer:sleep(600), (dns_server:a([Address]))(T, Q) end);
step(nxdomain, Server) -> dns_server:set(Server, dns_server:rcode(3));
step(servfail, Server) -> dns_server:set(Server, dns_server:rcode(2));
step({wait, Time}, _) -> timer:sleep(Time);
step({remember, Address}, _) -> longnames_epmd:remember(?NODE, Address);
step({ports, Ports}, _) -> remember_ports("shop.internal", Ports);
step({ports_of_another, Ports}, _) -> remember_ports("web.internal", Ports);
step({ports, Members, Order}, _) ->
    longnames_epmd:remember_ports("shop.internal", Members, lists:zip([host(N) || N <- Order], ports(length(Order)))).

remember_ports(Cluster, Ports) ->
    longnames_epmd:remember_ports(Cluster, [Node || {Node, _} <- Ports], [{host(Node), Port} || {Node, Port} <- Ports]).

host(Node) -> lists:last(string:split(atom_to_list(Node), "@")).

ports(Count) -> lists:seq(9100, 9099 + Count).
