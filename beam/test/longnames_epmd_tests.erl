-module(longnames_epmd_tests).
-include_lib("eunit/include/eunit.hrl").

-define(HOST, "shop-0.shop.prod.svc.erl.internal").
-define(NODE, 'shop@shop-0.shop.prod.svc.erl.internal').
-define(IP, {10, 0, 0, 1}).
-define(OTHER, {10, 0, 0, 2}).

%% The node that runs this has to have longnames_epmd as its -epmd_module, or there is no table.
%% A row is what happens, and the address at its end.
address_test_() ->
    {setup, fun start/0, fun stop/1,
     fun(Server) ->
             [{Name, fun() ->
                         ets:delete_all_objects(longnames_epmd),
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
                      {"a port that is not epmd's", {ok, ?IP, 9100, 6}, [{a, ?IP}, {ports, [{?HOST, 9100}]}]},
                      {"another port later", {ok, ?IP, 9101, 6}, [{a, ?IP}, {ports, [{?HOST, 9100}]}, {ports, [{?HOST, 9101}]}]},
                      {"epmd's port", {ok, ?IP}, [{a, ?IP}, {ports, [{?HOST, 9100}]}, {ports, [{?HOST, 4369}]}]},
                      {"two nodes of one host", {ok, ?IP}, [{a, ?IP}, {ports, [{?HOST, 9100}, {?HOST, 9101}]}]},
                      {"another host's port", {ok, ?IP}, [{a, ?IP}, {ports, [{"shop-1.a", 9100}]}]}]]
     end}.

address_of_an_address_test() -> ?assertEqual({ok, ?IP}, longnames_epmd:address_please("shop", "10.0.0.1", inet)).

%% `bin/app rpc' starts a node that knows nobody, to connect to that of its own host.
own_host_test_() ->
    {setup, fun start/0, fun stop/1,
     fun(Server) ->
             fun() ->
                     step(nxdomain, Server),
                     Node = node(),
                     {ok, _} = application:ensure_all_started(kernel),
                     [_, Own] = string:split(atom_to_list(Node), "@"),
                     ?assertEqual({error, nxdomain}, longnames_epmd:address_please("shop", "not-" ++ Own, inet)),
                     ?assertEqual({ok, {127, 0, 0, 1}}, longnames_epmd:address_please("shop", Own, inet))
             end
     end}.

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
step({ports, Ports}, _) -> longnames_epmd:remember_ports(Ports).
