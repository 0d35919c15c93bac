-module(longnames_connector_tests).
-include_lib("eunit/include/eunit.hrl").
-export([event/1, log/2]).

%% Connections are made up: connect and disconnect say to the test what they are called with.
connector_test_() ->
    {setup, fun start_application/0, fun stop_application/1,
     {inparallel, [{Name, {timeout, 30, fun() ->
                        Env = {Server, _} = env("c" ++ integer_to_list(erlang:unique_integer([positive])) ++ ".erl.internal"),
                        Test(Env),
                        dns_server:stop(Server)
                    end}}
                   || {Name, Test} <- [
                          {"connects to all members but itself", fun connects/1},
                          {"a dead member keeps nobody waiting", fun dead/1},
                          {"the last answer stays through every failure", fun failures/1},
                          {"asks at 0, 0.5, 1, 2 and 4 s, then seldom", fun questions/1},
                          {"asks each second while it is not listed itself", fun unlisted/1},
                          {"asks as at first after a nodedown", fun soon_again/1},
                          {"asks and connects again after a nodedown", fun nodedown/1},
                          {"a question that hangs after a nodedown does not use up the next ones", fun hangs_after_nodedown/1},
                          {"connects again to a node that was disconnected", fun(Env) -> disconnected("127.0.0.7", [], Env) end},
                          {"connects again to a hidden node", fun(Env) -> disconnected("127.0.0.8", ["-hidden"], Env) end},
                          {"does not connect while there is no address for it", fun no_address/1},
                          {"does not connect before it is listed, without address", fun not_listed_yet/1},
                          {"connects again, also where it is never listed", fun never_listed/1},
                          {"a node that is lost does not end the wait for an address", fun lost_at_first/1},
                          {"does not wait for an address, if it is told so", fun no_wait/1},
                          {"has the members also while no server tells their ports", fun hung_ports/1},
                          {"disconnects nobody", fun disconnects_nobody/1},
                          {"disconnects whom so many answers lack", fun disconnects/1},
                          {"a node back in time is not disconnected", fun back/1},
                          {"tells events", fun events/1},
                          {"knows the members after it was killed", fun killed/1},
                          {"tells events after it was killed", fun killed_while_failing/1},
                          {"each of its processes killed at random", fun killed_at_random/1},
                          {"a callback that hangs is one process, and has the last events in order", fun hangs/1},
                          {"a callback and a connect that crash do no harm", fun crashes/1}]]}}.

start_application() ->
    logger:set_handler_config(default, level, none),
    {ok, _} = application:ensure_all_started(longnames).

stop_application(_) ->
    ok = application:stop(longnames),
    logger:set_handler_config(default, level, all).

env(Name) ->
    Server = dns_server:start(dns_server:txt(["shop@a.c", "shop@b.c", atom_to_list(node())])),
    {Server, #{name => Name, nameservers => dns_server:nameservers(Server), timeout => 3000, interval => 300}}.

connects({_, Opts = #{name := Name}}) ->
    start(Opts),
    ?assertEqual(['shop@a.c', 'shop@b.c'], lists:sort([connected(), connected()])),
    ?assertMatch(#{Name := #{members := ['shop@a.c', 'shop@b.c', _], missing := ['shop@a.c', 'shop@b.c'], failing := false, running := true}},
                 longnames:status()).

dead({Server, Opts}) ->
    Self = self(),
    start(Opts#{connect => fun('shop@a.c') -> Self ! {connect, 'shop@a.c'}, timer:sleep(infinity);
                              (Node) -> Self ! {connect, Node} end}),
    ?assertEqual(['shop@a.c', 'shop@b.c'], lists:sort([connected(), connected()])),
    dns_server:set(Server, dns_server:txt(["shop@a.c", "shop@d.c"])),
    wait_connected('shop@d.c'),
    ?assertEqual(false, received({connect, 'shop@a.c'})). % and it is tried once at a time

failures({Server, Opts = #{name := Name}}) ->
    start(Opts),
    _ = [connected(), connected()],
    lists:foreach(fun({Reason, Reply}) ->
                          dns_server:set(Server, dns_server:txt(["shop@a.c", "shop@b.c", atom_to_list(node())])),
                          until(fun() -> #{Name := #{failing := F}} = longnames:status(), F =:= false end),
                          dns_server:set(Server, Reply),
                          until(fun() -> #{Name := #{failing := F}} = longnames:status(), F =/= false andalso element(1, F) =:= Reason end),
                          drain(),
                          ?assertMatch(#{Name := #{members := ['shop@a.c', 'shop@b.c', _]}}, longnames:status()),
                          _ = [connected(), connected()] % those that are lost meanwhile are still connected to
                  end, [{servfail, dns_server:rcode(2)}, {nxdomain, dns_server:rcode(3)}, {refused, dns_server:rcode(5)},
                        {empty, dns_server:txt([])}, {empty, dns_server:txt(["junk"])}, {timeout, fun(_, _) -> none end},
                        {formerr, dns_server:malformed()}]),
    ?assertEqual(false, received_any(disconnect)).

%% Timers are made up in these: each expires at once, when the answer to the question before is there.
questions({Server, Opts = #{name := Name}}) ->
    Pid = start_with_timers(Opts#{interval => 60000}),
    ?assertEqual([0, 500, 1000, 2000, 4000], sums(delays(5, Pid, Server))),
    Seldom = delays(5, Pid, Server),
    ?assertEqual([], [Delay || Delay <- Seldom, Delay < 48000 orelse Delay > 72000]),
    ?assertMatch([_, _ | _], lists:usort(Seldom)),
    ?assertEqual(1, length([srv || {_, srv} <- dns_server:asked(Server)])), % also of those who connected first
    ?assertMatch(#{Name := #{questions := 11}}, longnames:status()).

unlisted({Server, Opts}) ->
    dns_server:set(Server, dns_server:txt(["shop@a.c", "shop@b.c"])),
    Pid = start_with_timers(Opts#{interval => 60000}),
    ?assertEqual([0, 500, 1000, 2000, 4000, 5000, 6000, 7000], sums(delays(8, Pid, Server))),
    dns_server:set(Server, dns_server:txt(["shop@a.c", "shop@b.c", atom_to_list(node())])),
    [1000, 1000, Next] = delays(2, Pid, Server) ++ delays(1, none, Server), % it does not know yet when the first one starts
    ?assert(Next >= 48000 andalso Next =< 72000).

soon_again({Server, Opts}) ->
    Pid = start_with_timers(Opts#{interval => 60000}),
    _ = delays(5, Pid, Server),
    _ = delays(1, none, Server),
    Pid ! {nodedown, 'shop@b.c', []},
    [First | Rest] = delays(5, Pid, Server),
    ?assert(First =< 500),
    ?assertEqual([500, 1000, 2000, 4000], sums(Rest)).

start_with_timers(Opts) ->
    Self = self(),
    {ok, Pid} = start(maps:merge(#{start_timer => fun(Delay) -> Timer = make_ref(), Self ! {timer, Timer, Delay}, Timer end,
                                   list_nodes => fun() -> ['shop@a.c', 'shop@b.c', node()] end}, Opts)),
    Pid.

%% The delays of so many timers. They expire for the process.
delays(Count, Pid, Server) ->
    [receive
         {timer, Timer, Delay} ->
             Asked = asked(Server),
             Pid =:= none orelse expire(Timer, Pid, fun() -> asked(Server) > Asked end),
             Delay
     after 60000 -> error(no_timer)
     end || _ <- lists:seq(1, Count)].

expire(Timer, Pid, Asked) ->
    Pid ! {timeout, Timer, ask},
    until(fun() -> Asked() andalso process_info(Pid, monitors) =:= {monitors, []} end). % the answer is there

sums(Delays) -> tl(lists:reverse(lists:foldl(fun(Delay, [Sum | _] = Sums) -> [Sum + Delay | Sums] end, [0], Delays))).

nodedown({Server, Opts}) ->
    {ok, Pid} = start(Opts#{interval => 60000}),
    until(fun() -> asked(Server) =:= 5 end),
    timer:sleep(600),
    drain(),
    Pid ! {nodedown, 'shop@b.c', []},
    until(fun() -> asked(Server) >= 8 end),
    ?assert(received({connect, 'shop@b.c'})),
    {Before, Since} = {asked(Server), erlang:monotonic_time(millisecond)},
    Pid ! {nodedown, 'other@b.c', []}, % is none of its members
    [begin Pid ! {nodedown, 'shop@a.c', []}, timer:sleep(5) end || _ <- lists:seq(1, 100)],
    timer:sleep(400),
    ?assert(asked(Server) - Before =< 2 + (erlang:monotonic_time(millisecond) - Since) div 500).

hangs_after_nodedown({Server, Opts}) ->
    Pid = start_with_timers(Opts#{interval => 60000, timeout => 60000}),
    _ = delays(5, Pid, Server),
    _ = delays(1, none, Server),
    dns_server:set(Server, fun(_, _) -> none end),
    Pid ! {nodedown, 'shop@b.c', []},
    Tick = fun() -> receive {timer, Timer, Delay} -> Pid ! {timeout, Timer, ask}, Delay end end,
    _ = Tick(),
    ?assertEqual([500, 500, 500, 500, 500], [Tick() || _ <- lists:seq(1, 5)]).

%% These connections are real.
disconnected(Host, Args, {Server, Opts = #{name := Name}}) ->
    Port = 9100 + list_to_integer(lists:last(string:lexemes(Host, "."))),
    Node = list_to_atom("web@" ++ Host),
    Peer = longnames_epmd_tests:start_peer("web", Host, Args ++ ["-setcookie", atom_to_list(erlang:get_cookie()), "-kernel", "inet_dist_use_interface",
                                                                 "{" ++ lists:flatten(string:replace(Host, ".", ",", all)) ++ "}", "inet_dist_listen_min", integer_to_list(Port)]),
    Records = #{srv => dns_server:srv([{Host, Port}]), txt => dns_server:txt([atom_to_list(Node), atom_to_list(node())])},
    dns_server:set(Server, fun(T, Q) -> (maps:get(dns_server:type(Q), Records))(T, Q) end),
    {ok, Pid} = longnames_connector:start_link(Opts#{interval => 60000}),
    unlink(Pid),
    Connected = fun() -> #{Name := #{connected := Nodes}} = longnames:status(), Nodes =:= [Node] end,
    until(fun() -> asked(Server) =:= 5 andalso Connected() end),
    true = erlang:disconnect_node(Node),
    until(fun() -> asked(Server) > 5 andalso Connected() end, 2000), % before an interval has passed
    exit(Pid, kill),
    peer:stop(Peer).

%% It had connected before any connector ran. Its host is remembered for when there is no DNS.
connected_before_test_() ->
    {setup, fun start_application/0, fun stop_application/1, {timeout, 30, fun() ->
        {Host, Node, Address} = {"before.erl.internal", 'web@before.erl.internal', {127, 0, 0, 9}},
        Peer = longnames_epmd_tests:start_peer("web", Host, ["-setcookie", atom_to_list(erlang:get_cookie()), "-kernel", "inet_dist_use_interface",
                                                             "{127,0,0,9}", "inet_dist_listen_min", "9109"]),
        ok = longnames_epmd:remember(Node, Address),
        longnames_epmd:remember_ports(Host, [Node], [{Host, 9109}]),
        true = net_kernel:connect_node(Node),
        true = ets:delete(longnames_epmd, {Host, inet}),
        {Server, Opts} = env("connected.before"),
        {ok, _} = start(Opts),
        until(fun() -> ets:lookup(longnames_epmd, {Host, inet}) =:= [{{Host, inet}, Address}] end),
        dns_server:stop(Server),
        peer:stop(Peer)
    end}}.

%% All nodes of a new cluster would lose each other, for as long as two of them cannot connect to each other.
no_address({Server, Opts}) ->
    dns_server:set(Server, dns_server:txt(["shop@a.c", "shop@b.c"])),
    Found = atomics:new(1, []),
    Pid = start_with_timers(Opts#{interval => 60000, list_nodes => fun() -> [] end, has_address => fun() -> atomics:get(Found, 1) =:= 1 end}),
    _ = delays(7, Pid, Server),
    ?assertEqual(false, received_any(connect)),
    atomics:put(Found, 1, 1),
    _ = delays(1, Pid, Server),
    ?assertEqual(['shop@a.c', 'shop@b.c'], lists:sort([connected(), connected()])),
    _ = delays(1, none, Server),
    drain(),
    atomics:put(Found, 1, 0),
    Pid ! {nodedown, 'shop@b.c', []},
    wait_connected('shop@b.c'). % what the last answer brought counts

not_listed_yet({Server, Opts}) ->
    dns_server:set(Server, dns_server:txt(["shop@a.c", "shop@b.c"])),
    Pid = start_with_timers(Opts#{interval => 60000, list_nodes => fun() -> [] end, has_address => fun() -> false end}),
    _ = delays(7, Pid, Server),
    ?assertEqual(false, received_any(connect)),
    dns_server:set(Server, dns_server:txt(["shop@a.c", "shop@b.c", atom_to_list(node())])),
    _ = delays(1, Pid, Server),
    ?assertEqual(['shop@a.c', 'shop@b.c'], lists:sort([connected(), connected()])).

%% The clock is made up in these three, too. A node that is lost has half an interval, and no other waits for it.
never_listed({Server, Opts}) ->
    {Pid, Clock} = start_without_address(Server, Opts#{interval => 60000}),
    _ = delays(5, Pid, Server),
    atomics:put(Clock, 1, 10000),
    _ = delays(1, Pid, Server),
    ?assertEqual(['shop@a.c', 'shop@b.c'], lists:sort([connected(), connected()])),
    atomics:put(Clock, 1, 100000),
    _ = delays(1, none, Server),
    drain(),
    Pid ! {nodedown, 'shop@b.c', []},
    ?assertEqual([0, 500, 1000, 2000, 4000], sums(delays(5, Pid, Server))),
    atomics:put(Clock, 1, 129000),
    [30000, 1000] = delays(2, Pid, Server), % until the pause ends
    ?assertEqual(['shop@a.c'], lists:usort(all_connected())),
    atomics:put(Clock, 1, 130000),
    _ = delays(1, Pid, Server),
    ?assertEqual(['shop@a.c', 'shop@b.c'], lists:usort(all_connected())).

lost_at_first({Server, Opts}) ->
    {Pid, Clock} = start_without_address(Server, Opts#{interval => 2000}),
    _ = delays(2, Pid, Server),
    Pid ! {nodedown, 'shop@b.c', []},
    _ = delays(1, none, Server), % which is cancelled
    _ = delays(1, Pid, Server),
    atomics:put(Clock, 1, 9999),
    _ = delays(2, Pid, Server),
    ?assertEqual([], all_connected()),
    atomics:put(Clock, 1, 10000),
    _ = delays(1, Pid, Server),
    ?assertEqual(['shop@a.c', 'shop@b.c'], lists:usort(all_connected())).

no_wait({Server, Opts}) ->
    {Pid, _} = start_without_address(Server, Opts#{wait_for_address => 0}),
    _ = delays(1, Pid, Server),
    ?assertEqual(['shop@a.c', 'shop@b.c'], lists:usort(all_connected())).

start_without_address(Server, Opts) ->
    dns_server:set(Server, dns_server:txt(["shop@a.c", "shop@b.c"])),
    Clock = atomics:new(1, []),
    {start_with_timers(Opts#{now => fun() -> atomics:get(Clock, 1) end, list_nodes => fun() -> [] end, has_address => fun() -> false end}),
     Clock}.

%% The answer would come after the ten minutes that a question may take.
hung_ports({Server, Opts = #{name := Name}}) ->
    Txt = dns_server:txt(["shop@a.c", "shop@b.c"]),
    dns_server:set(Server, fun(T, Q) -> case dns_server:type(Q) of txt -> Txt(T, Q); _ -> none end end),
    start(Opts#{timeout => 600000}),
    until(fun() -> case longnames:status() of #{Name := #{members := ['shop@a.c', 'shop@b.c']}} -> true; _ -> false end end),
    ?assert(lists:member({udp, srv}, dns_server:asked(Server))).

disconnects_nobody({Server, Opts = #{name := Name}}) ->
    start(Opts#{list_nodes => fun() -> ['shop@a.c', 'shop@b.c'] end}),
    until(fun() -> asked(Server) > 1 end),
    dns_server:set(Server, dns_server:txt(["shop@a.c", atom_to_list(node())])),
    until(fun() -> #{Name := #{members := M}} = longnames:status(), M =:= ['shop@a.c', node()] end),
    Before = asked(Server),
    until(fun() -> asked(Server) > Before + 5 end),
    ?assertEqual(false, received_any(disconnect)).

disconnects({Server, Opts}) ->
    start(Opts#{disconnect_after => 3, list_nodes => fun() -> ['shop@a.c', 'shop@b.c'] end}),
    until(fun() -> asked(Server) > 0 end),
    dns_server:set(Server, dns_server:rcode(2)),
    timer:sleep(1000),
    ?assertEqual(false, received_any(disconnect)),
    dns_server:set(Server, dns_server:txt(["shop@a.c"])), % not even this node
    Before = asked(Server),
    until(fun() -> received({disconnect, 'shop@b.c'}) end),
    Then = asked(Server),
    ?assert(Then - Before >= 3),
    until(fun() -> asked(Server) > Then + 1 end),
    ?assertEqual(false, received_any(disconnect)).

back({Server, Opts}) ->
    Turn = atomics:new(1, []),
    start(Opts#{interval => 100, disconnect_after => 6, list_nodes => fun() -> ['shop@a.c', 'shop@b.c'] end}),
    until(fun() -> asked(Server) > 0 end),
    dns_server:set(Server, fun(T, Q) ->
                                   dns_server:type(Q) =:= txt andalso atomics:add(Turn, 1, 1),
                                   Members = case atomics:get(Turn, 1) rem 3 of
                                                 0 -> ["shop@a.c", "shop@b.c", atom_to_list(node())];
                                                 _ -> ["shop@a.c", atom_to_list(node())]
                                             end,
                                   (dns_server:txt(Members))(T, Q)
                           end),
    until(fun() -> atomics:get(Turn, 1) > 30 end),
    ?assertEqual(false, received_any(disconnect)).

events({Server, Opts = #{name := Name}}) ->
    register(events, self()),
    start(Opts#{callback => {?MODULE, event}}),
    Members = ['shop@a.c', 'shop@b.c', node()],
    ?assertEqual({members, Name, Members}, next_event()),
    dns_server:set(Server, dns_server:txt(["shop@b.c", atom_to_list(node()), "shop@a.c"])),
    until(fun() -> #{Name := #{members := [First | _]}} = longnames:status(), First =:= 'shop@b.c' end),
    dns_server:set(Server, dns_server:rcode(2)),
    ?assertEqual({failing, Name, servfail}, next_event()), % another order is no event
    dns_server:set(Server, dns_server:txt(["shop@a.c"])),
    ?assertEqual([{recovered, Name, ['shop@a.c']}, {members, Name, ['shop@a.c']}], [next_event(), next_event()]),
    unregister(events).

event(Event) ->
    element(1, Event) =:= recovered andalso timer:sleep(100), % and the next one waits
    events ! {event, Event}.

next_event() -> receive {event, Event} -> Event after 60000 -> none end.

killed({Server, Opts}) ->
    {ok, Pid} = start_supervised(Opts),
    _ = [connected(), connected()],
    dns_server:set(Server, dns_server:rcode(2)),
    exit(Pid, kill),
    drain(),
    ?assertEqual(['shop@a.c', 'shop@b.c'], lists:usort([connected(), connected()])).

%% What waits for the callback is lost with the connector, and what it has failed with is not.
killed_while_failing({Server, Opts = #{name := Name}}) ->
    Self = self(),
    WithCallback = Opts#{callback => fun(Event) -> Self ! {event, Event} end},
    {ok, Pid} = start(WithCallback),
    Members = ['shop@a.c', 'shop@b.c', node()],
    ?assertEqual({members, Name, Members}, next_event()),
    dns_server:set(Server, dns_server:rcode(2)),
    ?assertEqual({failing, Name, servfail}, next_event()),
    until(fun() -> #{Name := #{failing := F}} = longnames:status(), F =/= false end),
    exit(Pid, kill),
    {ok, _} = start(WithCallback),
    ?assertEqual({members, Name, Members}, next_event()),
    dns_server:set(Server, dns_server:txt(["shop@a.c"])),
    ?assertEqual([{recovered, Name, ['shop@a.c']}, {members, Name, ['shop@a.c']}], [next_event(), next_event()]).

%% Whatever is killed, connector, asker or who connects: it goes on, and nobody is disconnected.
killed_at_random({_, Opts = #{name := Name}}) ->
    {ok, _} = start_supervised(Opts),
    _ = [connected(), connected()],
    lists:foreach(fun(_) ->
                          Pids = [P || {_, P, _, _} <- supervisor:which_children(longnames_sup), is_pid(P)],
                          Workers = lists:append([element(2, process_info(P, monitors)) || P <- Pids, is_process_alive(P)]),
                          All = Pids ++ [P || {process, P} <- Workers],
                          All =/= [] andalso exit(lists:nth(rand:uniform(length(All)), All), kill),
                          timer:sleep(rand:uniform(400) + 1100)
                  end, lists:seq(1, 8)),
    drain(),
    ?assertEqual(['shop@a.c', 'shop@b.c'], lists:usort([connected(), connected(), connected(), connected()])),
    ?assertEqual(false, received_any(disconnect)),
    ?assertMatch(#{Name := #{running := true}}, longnames:status()).

%% Each answer has another member, and there are more than 120 while the callback has the first one.
hangs({Server, Opts = #{name := Name}}) ->
    Self = self(),
    Turn = atomics:new(3, []),
    atomics:put(Turn, 2, 300), % answers with timers of no time, until it rests
    Timer = fun(_) ->
                    Rests = atomics:get(Turn, 1) >= atomics:get(Turn, 2),
                    Rests andalso atomics:put(Turn, 3, 1),
                    erlang:start_timer(case Rests of true -> 60000; false -> 1 end, self(), ask)
            end,
    ok = logger:add_handler(?FUNCTION_NAME, ?MODULE, #{level => error, config => {Self, Name}}),
    dns_server:set(Server, fun(T, Q) ->
                                   I = atomics:add_get(Turn, 1, 1),
                                   (dns_server:txt(["shop@" ++ integer_to_list(1000 + I) ++ ".c", atom_to_list(node())]))(T, Q)
                           end),
    {ok, Pid} = start(Opts#{connect => fun(_) -> ok end,
                            start_timer => Timer,
                            callback => fun({members, _, [Member | _]}) -> Self ! {told, self(), Member}, receive go -> ok end; (_) -> ok end}),
    {Hangs, First} = next_member(),
    Processes = fun() -> {monitors, Monitors} = process_info(Pid, monitors), length(Monitors) end,
    until(fun() -> atomics:get(Turn, 3) =:= 1 andalso Processes() =:= 1 end),
    #{Name := #{dropped := Dropped, members := [Last | _]}} = longnames:status(),
    ?assert(Dropped >= 20),
    ?assertEqual(0, receive {told, _, _} -> 1 after 0 -> 0 end),
    Hangs ! go,
    Told = told_until(Last),
    ?assertEqual(lists:usort(Told), Told),
    ?assert(length(Told) =< 100),
    ?assert(number(hd(Told)) > number(First) + Dropped), % those between are dropped
    until(fun() -> Processes() =:= 0 end),
    ?assertEqual(0, receive {told, _, _} -> 1 after 0 -> 0 end),
    ?assertEqual(1, logged()),
    atomics:put(Turn, 3, 0),
    atomics:put(Turn, 2, 600),
    Pid ! {nodedown, Last, []},
    _ = next_member(), % it hangs again
    until(fun() -> atomics:get(Turn, 3) =:= 1 andalso Processes() =:= 1 end),
    ok = logger:remove_handler(?FUNCTION_NAME),
    ?assertEqual(1, logged()).

log(#{msg := {_, [Name]}}, #{config := {Pid, Name}}) -> Pid ! logged;
log(_, _) -> ok.

logged() -> receive logged -> 1 + logged() after 0 -> 0 end.

next_member() -> receive {told, Pid, Member} -> {Pid, Member} after 60000 -> error(no_event) end.

told_until(Last) ->
    {Pid, Member} = next_member(),
    Pid ! go,
    [Member | case Member of Last -> []; _ -> told_until(Last) end].

number(Member) -> list_to_integer(string:slice(atom_to_list(Member), 5, 4)).

crashes({Server, Opts}) ->
    {ok, Pid} = start(Opts#{callback => fun(_) -> exit(crash) end, connect => fun(_) -> exit(crash) end}),
    until(fun() -> asked(Server) > 3 end),
    ?assert(is_process_alive(Pid)).

start(Opts) ->
    {ok, Pid} = longnames_connector:start_link(fake(Opts)),
    unlink(Pid),
    Self = self(),
    spawn(fun() -> M = monitor(process, Self), receive {'DOWN', M, _, _, _} -> exit(Pid, kill) end end),
    {ok, Pid}.

start_supervised(Opts) -> supervisor:start_child(longnames_sup, longnames:child_spec(fake(Opts))).

fake(Opts) ->
    Self = self(),
    maps:merge(#{connect => fun(Node) -> Self ! {connect, Node} end, disconnect => fun(Node) -> Self ! {disconnect, Node} end,
                 list_nodes => fun() -> [] end}, Opts).

%% The node that runs this has our -epmd_module, so SRV records are asked for as well.
asked(Server) -> length([txt || {_, txt} <- dns_server:asked(Server)]).

connected() -> receive {connect, Node} -> Node after 60000 -> none end.

wait_connected(Node) -> receive {connect, Node} -> ok after 60000 -> error({not_connected, Node}) end.

received(Message) -> receive Message -> true after 0 -> false end.

received_any(Kind) -> receive {Kind, Node} -> Node after 0 -> false end.

drain() -> _ = all_connected(), ok.

all_connected() -> receive {connect, Node} -> [Node | all_connected()] after 0 -> [] end.

until(Fun) -> until(Fun, 3000).

until(_, 0) -> error(timeout);
until(Fun, Times) -> case Fun() of true -> ok; false -> timer:sleep(20), until(Fun, Times - 1) end.
