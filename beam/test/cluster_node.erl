%% What a node of test/cluster.erl saw: who came and who went, and when.
-module(cluster_node).
-export([start/0, started/0, downs/1, full/1, found/2, database/0]).

start() ->
    Self = self(),
    Pid = spawn(fun() ->
                        ets:new(?MODULE, [named_table, public, ordered_set]),
                        ets:insert(?MODULE, {started, erlang:system_time(millisecond)}),
                        ok = net_kernel:monitor_nodes(true),
                        [self() ! {nodeup, Node} || Node <- nodes()], % that were sooner
                        Self ! {self(), ready},
                        loop()
                end),
    receive {Pid, ready} -> application:start(longnames) end.

loop() ->
    receive
        {Kind, Node} -> ets:insert(?MODULE, {{erlang:system_time(millisecond), erlang:unique_integer([monotonic])}, Kind, Node})
    end,
    loop().

started() -> ets:lookup_element(?MODULE, started, 2).

%% Those that went down since, with how many milliseconds later, and when they were back.
downs(Since) ->
    Events = ets:match_object(?MODULE, {{'_', '_'}, '_', '_'}),
    [{Node, At - Since, back(Node, At, Events)} || {{At, _}, nodedown, Node} <- Events, At >= Since].

back(Node, At, Events) ->
    case [Up - At || {{Up, _}, nodeup, Up1} <- Events, Up1 =:= Node, Up >= At] of
        [After | _] -> After;
        [] -> never
    end.

%% Since when this node has been connected to so many others.
full(Count) ->
    case ets:info(?MODULE, size) of
        undefined -> not_yet;
        _ -> full(ets:tab2list(?MODULE), Count, #{})
    end.

full([{started, _} | Events], Count, Up) -> full(Events, Count, Up);
full([{{At, _}, nodeup, Node} | Events], Count, Up) -> full(Events, Count, Up#{Node => At});
full([{_, nodedown, Node} | Events], Count, Up) -> full(Events, Count, maps:remove(Node, Up));
full([], Count, Up) when map_size(Up) >= Count -> lists:max([0 | maps:values(Up)]);
full([], _, _) -> not_yet.

%% Founds a database, or joins that of the founder, as an application would at its first boot.
found(Name, Count) ->
    {ok, [Founder | _]} = longnames:await(Name, Count, 60000),
    ok = mnesia:start(),
    case Founder =:= node() of
        true -> {atomic, ok} = mnesia:create_table(founded, [{ram_copies, [node()]}]), ok;
        false -> join(Founder)
    end,
    Founder.

join(Founder) ->
    case mnesia:change_config(extra_db_nodes, [Founder]) of
        {ok, [_ | _]} -> ok = mnesia:wait_for_tables([founded], 10000);
        _ -> timer:sleep(100), join(Founder)
    end.

database() -> lists:sort(mnesia:system_info(running_db_nodes)).
