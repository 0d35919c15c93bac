-module(longnames_check_tests).
-include_lib("eunit/include/eunit.hrl").

%% What is wrong, and a word of what is said about it. The node that runs this is beam@127.0.0.1, without epmd.
findings_test_() ->
    Own = atom_to_list(node()),
    [{Name, {timeout, 20, fun() ->
         ets:delete_all_objects(longnames_epmd),
         Server = dns_server:start(Reply),
         Findings = longnames_check:findings("shop.erl.internal", #{nameservers => dns_server:nameservers(Server), timeout => 300}),
         dns_server:stop(Server),
         Errors = [unicode:characters_to_list(Text) || {error, Text} <- Findings],
         ?assertMatch({Want, [_ | _]}, {Want, [E || E <- Errors, string:find(E, Want) =/= nomatch]})
     end}} || {Name, Want, Reply} <-
                  [{"NXDOMAIN", "group_by", dns_server:rcode(3)},
                   {"another server", "TXT records are needed", dns_server:txt([])},
                   {"SERVFAIL", "logs of CoreDNS", dns_server:rcode(2)},
                   {"REFUSED", "acl", dns_server:rcode(5)},
                   {"a network policy", "UDP and TCP", fun(_, _) -> none end},
                   {"another basename", "is listed as web@127.0.0.1", dns_server:txt(["web@127.0.0.1"])},
                   {"another host", "the host has to be as in there", dns_server:txt(["beam@127.0.0.2"])},
                   {"not selected", "not selected", dns_server:txt(["web@127.0.0.2"])},
                   {"a host that does not resolve", "does not resolve", dns_server:txt([Own, "web@no.such.host.invalid"])},
                   {"epmd's port, but no epmd", "set `port' in the Corefile", dns_server:txt([Own, "web@127.0.0.2"])}]].

%% What fails for a member is said once.
first_failure_test() ->
    Own = atom_to_list(node()),
    Records = #{srv => dns_server:srv([{"127.0.0.2", 9102}]), txt => dns_server:txt([Own, "web@127.0.0.2"])},
    Server = dns_server:start(fun(T, Q) -> (maps:get(dns_server:type(Q), Records))(T, Q) end),
    Findings = longnames_check:findings("shop.erl.internal", #{nameservers => dns_server:nameservers(Server)}),
    dns_server:stop(Server),
    ?assertMatch([_], [Text || {error, Text} <- Findings, string:find(Text, "web@127.0.0.2") =/= nomatch]),
    ?assertMatch([_], [Text || {error, Text} <- Findings, string:find(Text, "port 9102") =/= nomatch]).

%% A connector's name is asked for as it asks, whatever the environment says, and it has to run.
connector_test() ->
    {ok, _} = application:ensure_all_started(longnames),
    Server = dns_server:start(dns_server:txt([atom_to_list(node())])),
    Servers = dns_server:nameservers(Server),
    Pid = start_connector(#{name => "own.erl.internal", nameservers => Servers}),
    Other = start_connector(#{name => "system.erl.internal"}), % which has no servers here
    Errors = fun(Name, Environment) ->
                     [unicode:characters_to_list(Text) || {error, Text} <- longnames_check:findings(Environment), string:find(Text, Name) =/= nomatch]
             end,
    ?assertEqual([], Errors("own.erl.internal", #{nameservers => []})),
    ?assertMatch(["system.erl.internal: " ++ _], Errors("system.erl.internal", #{nameservers => Servers})),
    ?assertMatch(["none.erl.internal: no connector runs" ++ _], Errors("none.erl.internal", #{name => "none.erl.internal", nameservers => Servers})),
    stop_connector(Pid),
    ?assertMatch(["own.erl.internal: its connector has ended" ++ _], Errors("own.erl.internal", #{})),
    stop_connector(Other),
    dns_server:stop(Server),
    ok = application:stop(longnames).

stop_connector(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, _, _, _} -> ok end.

%% It has asked, and has an answer or knows that there is none.
start_connector(Opts = #{name := Name}) ->
    {ok, Pid} = longnames_connector:start_link(Opts),
    unlink(Pid),
    wait_answer(Name),
    Pid.

wait_answer(Name) ->
    case longnames:status() of
        #{Name := #{members := Members, failing := Failing}} when Members =/= []; Failing =/= false -> ok;
        _ -> timer:sleep(20), wait_answer(Name)
    end.

%% Another node has another cookie, or that of this one.
cookie_test_() ->
    [{Name, {timeout, 20, fun() ->
         Host = "127.0.0.9",
         Node = "web@" ++ Host,
         Peer = longnames_epmd_tests:start_peer("web", Host, ["-setcookie", Cookie, "-kernel", "logger_level", "none", "inet_dist_use_interface", "{127,0,0,9}",
                                                              "inet_dist_listen_min", "9109", "inet_dist_listen_max", "9109"]),
         Records = #{srv => dns_server:srv([{Host, 9109}]), txt => dns_server:txt([Node])},
         Server = dns_server:start(fun(T, Q) -> (maps:get(dns_server:type(Q), Records))(T, Q) end),
         Findings = longnames_check:findings("shop.erl.internal", #{nameservers => dns_server:nameservers(Server)}),
         dns_server:stop(Server),
         peer:stop(Peer),
         ?assertMatch({Want, [Kind]}, {Want, [K || {K, Text} <- Findings, string:find(Text, Node ++ Want) =/= nomatch]}),
         ?assertEqual(Kind =:= error, [] =/= [Text || {error, Text} <- Findings, string:find(Text, "RELEASE_COOKIE") =/= nomatch])
     end}} || {Name, Cookie, Kind, Want} <- [{"another", "another", error, " answers, but refuses to connect"},
                                             {"the same", atom_to_list(erlang:get_cookie()), ok, " can be connected"}]].

no_name_server_test() ->
    [_, {error, Text}] = longnames_check:findings("shop.erl.internal", #{nameservers => []}),
    ?assertNotEqual(nomatch, string:find(Text, "There are no name servers")).

%% With a wrong option the application does not start, so that somebody looks here.
wrong_option_test() ->
    _ = application:stop(longnames),
    ok = application:set_env(longnames, interval, "15 s"),
    try ?assertEqual({false, "ERROR The environment has interval \"15 s\": expected milliseconds, more than 0.\n"}, printed(fun longnames:check/0))
    after application:unset_env(longnames, interval)
    end.

printed(Fun) ->
    Self = self(),
    Leader = group_leader(),
    Device = spawn(fun() -> device(Self) end),
    group_leader(Device, Self),
    Result = try Fun() after group_leader(Leader, Self), exit(Device, kill) end,
    receive {printed, Text} -> {Result, lists:flatten(Text)} end.

device(To) ->
    receive {io_request, From, As, {put_chars, unicode, io_lib, format, Args}} ->
        To ! {printed, apply(io_lib, format, Args)},
        From ! {io_reply, As, ok}
    end,
    device(To).

nothing_named_test() ->
    _ = application:stop(longnames),
    [{error, Text}] = longnames_check:findings(#{}),
    ?assertNotEqual(nomatch, string:find(Text, "No cluster is named")).
